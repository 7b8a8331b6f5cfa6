#include "repo/rotation_record.h"

#include "codec/digest.h"
#include "repo/clear_json.h"
#include "repo/key_id_field.h"
#include "repo/wrapped_key.h"

namespace pgstrata {
namespace {

constexpr ClearJsonForm record_form{.format = "pgstrata key rotation", .version = 1};

SecretKey rotation_wrapping_key(const SecretKey& key, ByteView salt) {
  return derive_key(key, salt, "pgstrata former repository key v1");
}

std::string rotation_binding(const RepositoryId& repository, const RotationRecord& record) {
  return fmt::format("{} {} {}", to_hex(repository.bytes), to_hex(record.former), to_hex(record.key));
}

Result<RotationStep> parse_step(std::string_view text) {
  for (const RotationStep step :
       {RotationStep::drawn, RotationStep::slotted, RotationStep::moving, RotationStep::settled}) {
    if (text == to_string(step)) return step;
  }
  return fail(ErrorCode::damaged, "its step \"{}\" is unknown", text);
}

Result<RotationRecord> parse_rotation_fields(const nlohmann::json& json) {
  RotationRecord record;
  PGS_TRY(const std::string step, text_field(json, "step"));
  PGS_TRY(record.step, parse_step(step));
  PGS_TRY(record.key, key_id_field(json, "key"));
  if (record.settled()) return record;
  PGS_TRY(record.former, key_id_field(json, "former"));
  PGS_TRY(record.salt, hex_field(json, "salt", wrap_salt_size_bytes));
  PGS_TRY(record.wrapped, hex_field(json, "wrapped", wrapped_key_size_bytes));
  return record;
}

}  // namespace

std::string_view to_string(RotationStep step) {
  switch (step) {
    case RotationStep::drawn:
      return "drawn";
    case RotationStep::slotted:
      return "slotted";
    case RotationStep::moving:
      return "moving";
    case RotationStep::settled:
      break;
  }
  return "settled";
}

RotationRecord begin_rotation(const RepositoryId& repository, const SecretKey& former, const SecretKey& key) {
  RotationRecord record;
  record.key = repository_key_id(key);
  record.former = repository_key_id(former);
  record.salt = random_bytes(wrap_salt_size_bytes);
  record.wrapped =
      wrap_key(rotation_wrapping_key(key, record.salt), rotation_binding(repository, record), former);
  return record;
}

Result<SecretKey> open_former_key(const RepositoryId& repository, const RotationRecord& record,
                                  const SecretKey& key) {
  auto former = unwrap_key(rotation_wrapping_key(key, record.salt), rotation_binding(repository, record),
                           record.wrapped);
  if (former.has_value()) return former;
  return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", rotation_record_name, former.error().message());
}

Bytes write_rotation_record(const RotationRecord& record) {
  nlohmann::json json = {{"format", record_form.format},
                         {"version", record_form.version},
                         {"step", to_string(record.step)},
                         {"key", to_hex(record.key)}};
  if (!record.settled()) {
    json["former"] = to_hex(record.former);
    json["salt"] = to_hex(record.salt);
    json["wrapped"] = to_hex(record.wrapped);
  }
  return write_clear_json(std::move(json));
}

Result<RotationRecord> parse_rotation_record(ByteView stored) {
  PGS_TRY(const nlohmann::json json, parse_clear_json(stored, record_form, rotation_record_name));
  auto record = parse_rotation_fields(json);
  if (record.has_value()) return record;
  return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", rotation_record_name, record.error().message());
}

Result<std::optional<StoredRotation>> read_rotation(ObjectStore& store) {
  auto stored = store.get_versioned(rotation_record_name);
  if (stored.has_value()) {
    auto record = parse_rotation_record(stored->content);
    if (record.has_value())
      return std::optional(
          StoredRotation{.record = *std::move(record), .version = std::move(stored->version)});
    if (record.error().code() != ErrorCode::damaged) return std::unexpected(std::move(record).error());
    return std::unexpected(
        std::move(record).error().with_hint("Bring it back from a copy of the repository. If no `pgstrata "
                                            "key rotate` was cut short, it can be removed: "
                                            "nothing else depends on it."));
  }
  if (stored.error().code() == ErrorCode::not_found) return std::optional<StoredRotation>();
  return std::unexpected(std::move(stored).error());
}

}  // namespace pgstrata
