// Records whose payload is JSON: reading and writing it without an exception leaving the room. Internal to
// it.
#pragma once

#include <nlohmann/json.hpp>

#include "base/timestamp.h"
#include "base/types.h"
#include "repo/record.h"

namespace pgstrata {

using Json = nlohmann::json;

// Text that is no UTF-8 (a path of the source's) is kept readable: broken bytes become U+FFFD.
[[nodiscard]] inline Bytes encode_json(const Json& json) {
  return to_bytes(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// Parses `payload` and hands it to `decode`, which may throw what nlohmann throws. All numbers of records are
// whole; one that does not fit into 64 bits would parse as a fraction. Error: damaged, naming `what`.
template <class Decode>
auto decode_json(ByteView payload, std::string_view what, const Decode& decode)
    -> Result<decltype(decode(std::declval<const Json&>()))> {
  bool whole = true;
  const auto look = [&whole](int, Json::parse_event_t, const Json& value) {
    whole = whole && !value.is_number_float();
    return true;
  };
  try {
    const auto json = Json::parse(as_text(payload), look);
    if (!whole) return fail(ErrorCode::damaged, "{} has a number out of range", what);
    return decode(json);
  } catch (const Json::exception& error) {
    return fail(ErrorCode::damaged, "{} does not parse: {}", what, error.what());
  }
}

[[nodiscard]] inline Timestamp timestamp_in(const Json& json, const char* key) {
  return {json.at(key).get<std::int64_t>()};
}
[[nodiscard]] inline Lsn lsn_in(const Json& json, const char* key) {
  return {json.at(key).get<std::uint64_t>()};
}

}  // namespace pgstrata
