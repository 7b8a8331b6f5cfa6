#include "repo/key_slot.h"

#include <algorithm>
#include <optional>

#include "codec/digest.h"
#include "repo/clear_json.h"
#include "repo/key_id_field.h"
#include "repo/wrapped_key.h"

namespace pgstrata {
namespace {

constexpr ClearJsonForm slot_form{.format = "pgstrata key slot", .version = 1};
constexpr std::size_t key_file_min_bytes = 32;

// The secret of a repository that has none.
constexpr std::string_view public_secret = "pgstrata: this repository is not encrypted";

std::optional<KeySlotKind> parse_kind(std::string_view text) {
  for (const KeySlotKind kind : {KeySlotKind::none, KeySlotKind::passphrase, KeySlotKind::key_file}) {
    if (text == to_string(kind)) return kind;
  }
  return std::nullopt;
}

Result<SecretKey> key_from_digest(ByteView secret, ByteView salt, std::string_view purpose) {
  Sha256 digest = sha256(secret);
  PGS_TRY(const SecretKey key, SecretKey::from(digest));
  wipe(digest);
  return derive_key(key, salt, purpose);
}

// The key that wraps the repository's. Errors: usage (an unfit secret); no_space.
Result<SecretKey> wrapping_key(const KeySource& source, ByteView salt, const Argon2idCost& cost) {
  PGS_CHECK(check_key_source(source));
  if (const auto* passphrase = std::get_if<Passphrase>(&source))
    return derive_key_from_passphrase(passphrase->text, salt, cost);
  if (const auto* key_file = std::get_if<KeyFile>(&source))
    return key_from_digest(key_file->secret, salt, "pgstrata key file v1");
  return key_from_digest(as_byte_view(public_secret), salt, "pgstrata no encryption v1");
}

// What a wrapped key belongs to: a slot copied to another repository or another name does not open.
std::string binding(const RepositoryId& repository, std::string_view id, KeySlotKind kind) {
  return fmt::format("{} {} {}", to_hex(repository.bytes), id, to_string(kind));
}

struct StoredSlot {
  RepositoryId repository;
  KeySlotInfo info;
  Bytes salt;
  Argon2idCost cost;
  Bytes wrapped;
};

Result<Argon2idCost> parse_cost(const nlohmann::json& json) {
  const auto found = json.find("argon2id");
  if (found == json.end() || !found->is_object()) {
    return fail(ErrorCode::damaged, "its field \"argon2id\" is missing or not what it should be");
  }
  Argon2idCost cost;
  PGS_TRY(cost.operations, number_field(*found, "operations"));
  PGS_TRY(cost.memory_bytes, number_field(*found, "memory_bytes"));
  if (cost.operations < Argon2idCost::operations_min || cost.operations > Argon2idCost::operations_max ||
      cost.memory_bytes < Argon2idCost::memory_min_bytes ||
      cost.memory_bytes > Argon2idCost::memory_max_bytes) {
    return fail(ErrorCode::damaged, "it demands {} operations and {} bytes of memory", cost.operations,
                cost.memory_bytes);
  }
  return cost;
}

Result<StoredSlot> parse_fields(std::string_view id, const nlohmann::json& json) {
  StoredSlot slot;
  slot.info.id = id;
  PGS_TRY(const std::string kind, text_field(json, "kind"));
  const auto known_kind = parse_kind(kind);
  if (!known_kind.has_value()) return fail(ErrorCode::damaged, "its kind \"{}\" is unknown", kind);
  slot.info.kind = *known_kind;
  PGS_TRY(slot.info.created, time_field(json, "created"));
  PGS_TRY(const Bytes repository, hex_field(json, "repository", slot.repository.bytes.size()));
  std::ranges::copy(repository, slot.repository.bytes.begin());
  PGS_TRY(slot.info.repository_key, optional_key_id_field(json, "repository_key"));
  PGS_TRY(slot.salt, hex_field(json, "salt", wrap_salt_size_bytes));
  PGS_TRY(slot.wrapped, hex_field(json, "wrapped", wrapped_key_size_bytes));
  if (slot.info.kind == KeySlotKind::passphrase) {
    PGS_TRY(slot.cost, parse_cost(json));
  }
  return slot;
}

Result<StoredSlot> parse_slot(const RepositoryId& repository, std::string_view id, ByteView stored) {
  const std::string name = key_slot_name(id);
  PGS_TRY(const nlohmann::json json, parse_clear_json(stored, slot_form, name));
  auto slot = parse_fields(id, json);
  if (!slot.has_value()) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", name, slot.error().message());
  }
  if (slot->repository != repository) {
    return fail(ErrorCode::not_found, "\"{}\" is a key slot of another repository", name);
  }
  return slot;
}

}  // namespace

std::string_view to_string(KeySlotKind kind) {
  switch (kind) {
    case KeySlotKind::none:
      return "none";
    case KeySlotKind::passphrase:
      return "passphrase";
    case KeySlotKind::key_file:
      return "key_file";
  }
  return "unknown";
}

KeySlotKind kind_of(const KeySource& source) {
  if (std::holds_alternative<Passphrase>(source)) return KeySlotKind::passphrase;
  if (std::holds_alternative<KeyFile>(source)) return KeySlotKind::key_file;
  return KeySlotKind::none;
}

RepositoryKeyId repository_key_id(const SecretKey& repository_key) {
  const SecretKey derived = derive_key(repository_key, {}, "pgstrata repository key id v1");
  RepositoryKeyId id;
  std::ranges::copy(derived.view().first(id.size()), id.begin());
  return id;
}

std::string key_slot_name(std::string_view id) {
  return fmt::format("keys/{}", id);
}

Result<void> check_key_source(const KeySource& source) {
  const auto* passphrase = std::get_if<Passphrase>(&source);
  if (passphrase != nullptr && passphrase->text.empty())
    return fail(ErrorCode::usage, "the passphrase is empty");
  const auto* key_file = std::get_if<KeyFile>(&source);
  if (key_file != nullptr && key_file->secret.size() < key_file_min_bytes) {
    return fail(ErrorCode::usage, "the key file holds {} bytes, fewer than {}", key_file->secret.size(),
                key_file_min_bytes);
  }
  return {};
}

Result<Bytes> seal_key_slot(const RepositoryId& repository, const KeySlotInfo& info, const KeySource& source,
                            const SecretKey& repository_key) {
  PGS_ASSERT(info.kind == kind_of(source));
  const Bytes salt = random_bytes(wrap_salt_size_bytes);
  const Argon2idCost cost;
  PGS_TRY(const SecretKey wrapping, wrapping_key(source, salt, cost));
  const Bytes wrapped = wrap_key(wrapping, binding(repository, info.id, info.kind), repository_key);
  nlohmann::json json = {{"format", slot_form.format},
                         {"version", slot_form.version},
                         {"repository", to_hex(repository.bytes)},
                         {"kind", to_string(info.kind)},
                         {"created", to_rfc3339(info.created)},
                         {"repository_key", to_hex(repository_key_id(repository_key))},
                         {"salt", to_hex(salt)},
                         {"wrapped", to_hex(wrapped)}};
  if (info.kind == KeySlotKind::passphrase) {
    json["argon2id"] = {{"operations", cost.operations}, {"memory_bytes", cost.memory_bytes}};
  }
  return write_clear_json(std::move(json));
}

Result<SecretKey> open_key_slot(const RepositoryId& repository, std::string_view id, ByteView stored,
                                const KeySource& source) {
  PGS_TRY(const StoredSlot slot, parse_slot(repository, id, stored));
  const KeySlotKind kind = slot.info.kind;
  if (kind != kind_of(source)) {
    return fail(ErrorCode::wrong_key, "key slot {} is of kind {}, not {}", id, to_string(kind),
                to_string(kind_of(source)));
  }
  PGS_TRY(const SecretKey wrapping, wrapping_key(source, slot.salt, slot.cost));
  auto key = unwrap_key(wrapping, binding(repository, id, kind), slot.wrapped);
  if (!key.has_value()) {
    return fail(ErrorCode::wrong_key, "key slot {} does not open with this {}", id,
                kind == KeySlotKind::passphrase ? "passphrase" : "key");
  }
  return key;
}

Result<KeySlotInfo> read_key_slot_info(const RepositoryId& repository, std::string_view id, ByteView slot) {
  PGS_TRY(StoredSlot parsed, parse_slot(repository, id, slot));
  return std::move(parsed.info);
}

}  // namespace pgstrata
