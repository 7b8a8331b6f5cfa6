// Small JSON objects that are stored in clear text: the descriptor, key slots, wrapped cluster keys. Each
// carries a checksum of its other fields, so that damage is told from a wrong key. Internal to the room.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"

namespace pgstrata {

// No such object comes near it.
inline constexpr std::uint64_t max_clear_json_bytes = 64U << 10;

// `json` with its "crc32c", as it is stored.
[[nodiscard]] Bytes write_clear_json(nlohmann::json json);

struct ClearJsonForm {
  std::string_view format;  // the "format" field: "pgstrata repository"
  int version;              // the newest "version" known here
};

// `name` is the object's, for messages. Errors: damaged; newer_format.
Result<nlohmann::json> parse_clear_json(ByteView stored, const ClearJsonForm& form, std::string_view name);

// Fields of a parsed object. Error: damaged, when one is missing or not of that type.
Result<std::string> text_field(const nlohmann::json& json, const char* field);
Result<std::uint64_t> number_field(const nlohmann::json& json, const char* field);
Result<Timestamp> time_field(const nlohmann::json& json, const char* field);
Result<Bytes> hex_field(const nlohmann::json& json, const char* field, std::size_t size_bytes);

}  // namespace pgstrata
