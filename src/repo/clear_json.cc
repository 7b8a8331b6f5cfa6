#include "repo/clear_json.h"

#include <fmt/format.h>

#include "codec/digest.h"

namespace pgstrata {
namespace {

constexpr const char* checksum_field = "crc32c";

// Keys are sorted, there are no blanks and all numbers are integers: equal objects have equal text.
std::string canonical_text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string checksum(const nlohmann::json& json) {
  const std::string text = canonical_text(json);
  return fmt::format("{:08x}", crc32c_finish(crc32c_extend(crc32c_begin, as_byte_view(text))));
}

std::unexpected<Error> bad_field(const char* field) {
  return fail(ErrorCode::damaged, "its field \"{}\" is missing or not what it should be", field);
}

}  // namespace

Bytes write_clear_json(nlohmann::json json) {
  json[checksum_field] = checksum(json);
  return to_bytes(canonical_text(json) + "\n");
}

Result<nlohmann::json> parse_clear_json(ByteView stored, const ClearJsonForm& form, std::string_view name) {
  const auto damaged = [&](std::string_view why) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", name, why);
  };
  if (stored.size() > max_clear_json_bytes) return damaged(fmt::format("it has {} bytes", stored.size()));
  const std::string_view text = as_text(stored);
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return damaged("it is no JSON object");
  const auto stated = text_field(json, checksum_field);
  json.erase(checksum_field);
  if (!stated.has_value()) return damaged("it has no checksum");
  if (*stated != checksum(json)) return damaged("its checksum is wrong");
  const auto format = text_field(json, "format");
  if (!format.has_value() || *format != form.format) {
    return damaged(fmt::format("it does not say that it is a {}", form.format));
  }
  const auto version = number_field(json, "version");
  if (!version.has_value() || *version == 0) return damaged("it has no version");
  if (*version > static_cast<std::uint64_t>(form.version)) {
    return std::unexpected(make_error(ErrorCode::newer_format,
                                      "\"{}\" has format version {}, newer than the {} known here", name,
                                      *version, form.version)
                               .with_hint("Upgrade pgstrata on this machine."));
  }
  return json;
}

Result<std::string> text_field(const nlohmann::json& json, const char* field) {
  const auto found = json.find(field);
  if (found == json.end() || !found->is_string()) return bad_field(field);
  return found->get<std::string>();
}

Result<std::uint64_t> number_field(const nlohmann::json& json, const char* field) {
  const auto found = json.find(field);
  if (found == json.end() || !found->is_number_unsigned()) return bad_field(field);
  return found->get<std::uint64_t>();
}

Result<Timestamp> time_field(const nlohmann::json& json, const char* field) {
  PGS_TRY(const std::string text, text_field(json, field));
  const auto time = parse_rfc3339(text);
  if (!time.has_value()) return bad_field(field);
  return *time;
}

Result<Bytes> hex_field(const nlohmann::json& json, const char* field, std::size_t size_bytes) {
  PGS_TRY(const std::string text, text_field(json, field));
  auto bytes = from_hex(text);
  if (!bytes.has_value() || bytes->size() != size_bytes) return bad_field(field);
  return *std::move(bytes);
}

}  // namespace pgstrata
