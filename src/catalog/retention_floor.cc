#include "catalog/retention_floor.h"

#include <algorithm>

#include "catalog/json_record.h"

namespace pgstrata {
namespace {

constexpr std::string_view floor_name = "retention-floor";

Result<std::chrono::seconds> floor_in(ByteView payload) {
  PGS_TRY(const auto seconds, decode_json(payload, "the retention floor", [](const Json& json) {
            return json.at("seconds").get<std::int64_t>();
          }));
  if (seconds < 0) return fail(ErrorCode::damaged, "a retention floor of {} seconds", seconds);
  // More would overflow where it is counted back; nothing lasts longer.
  constexpr std::int64_t longest = std::int64_t{1000} * 366 * 86400;
  return std::chrono::seconds(std::min(seconds, longest));
}

}  // namespace

Result<std::chrono::seconds> get_retention_floor(const ClusterSpace& space) {
  const auto payload = get_record(space, floor_name, RecordKind::retention_floor);
  if (!payload && payload.error().code() == ErrorCode::not_found) return std::chrono::seconds(0);
  if (!payload) return std::unexpected(payload.error());
  return floor_in(*payload);
}

Result<std::chrono::seconds> raise_retention_floor(const ClusterSpace& space, std::chrono::seconds wanted) {
  const Bytes payload = encode_json({{"seconds", wanted.count()}});
  const auto there = get_versioned_record(space, floor_name, RecordKind::retention_floor);
  if (!there && there.error().code() != ErrorCode::not_found) return std::unexpected(there.error());
  if (!there) {
    if (wanted.count() == 0) return wanted;
    PGS_CHECK(put_record(space, floor_name, RecordKind::retention_floor, payload));
    return wanted;
  }
  PGS_TRY(const auto recorded, floor_in(there->payload));
  if (recorded >= wanted) return recorded;
  PGS_CHECK(replace_record(space, floor_name, RecordKind::retention_floor, there->version, payload));
  return wanted;
}

}  // namespace pgstrata
