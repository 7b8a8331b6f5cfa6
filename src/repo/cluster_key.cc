#include "repo/cluster_key.h"

#include "codec/digest.h"
#include "repo/clear_json.h"
#include "repo/key_id_field.h"
#include "repo/wrapped_key.h"

namespace pgstrata {
namespace {

constexpr ClearJsonForm key_form{.format = "pgstrata cluster key", .version = 1};

SecretKey wrapping_key(const SecretKey& repository_key, ByteView salt) {
  return derive_key(repository_key, salt, "pgstrata cluster key v1");
}

std::string binding(const RepositoryId& repository, std::string_view cluster_name) {
  return fmt::format("{} {}", to_hex(repository.bytes), cluster_name);
}

}  // namespace

Bytes seal_cluster_key(const RepositoryId& repository, const SecretKey& repository_key,
                       std::string_view cluster_name, const SecretKey& cluster_key) {
  const Bytes salt = random_bytes(wrap_salt_size_bytes);
  const Bytes wrapped =
      wrap_key(wrapping_key(repository_key, salt), binding(repository, cluster_name), cluster_key);
  return write_clear_json({{"format", key_form.format},
                           {"version", key_form.version},
                           {"repository_key", to_hex(repository_key_id(repository_key))},
                           {"salt", to_hex(salt)},
                           {"wrapped", to_hex(wrapped)}});
}

Result<SecretKey> open_cluster_key(const RepositoryId& repository, const SecretKey& repository_key,
                                   std::string_view cluster_name, ByteView stored) {
  const std::string name = cluster_object_name(cluster_name, "key");
  const auto damaged = [&](const Error& why) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", name, why.message());
  };
  PGS_TRY(const nlohmann::json json, parse_clear_json(stored, key_form, name));
  const auto wrapped_by = optional_key_id_field(json, "repository_key");
  if (!wrapped_by.has_value()) return damaged(wrapped_by.error());
  const auto salt = hex_field(json, "salt", wrap_salt_size_bytes);
  if (!salt.has_value()) return damaged(salt.error());
  const auto wrapped = hex_field(json, "wrapped", wrapped_key_size_bytes);
  if (!wrapped.has_value()) return damaged(wrapped.error());
  auto key = unwrap_key(wrapping_key(repository_key, *salt), binding(repository, cluster_name), *wrapped);
  if (key.has_value()) return key;
  if (*wrapped_by && **wrapped_by != repository_key_id(repository_key))
    return fail(ErrorCode::wrong_key, "\"{}\" is wrapped by another key of the repository", name);
  return damaged(key.error());
}

}  // namespace pgstrata
