#include "catalog/retention_horizon.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/json_record.h"

namespace pgstrata {
namespace {

constexpr std::string_view horizon_name = "retention-horizon";

Result<WalHorizons> horizons_in(ByteView payload) {
  return decode_json(payload, "the retention horizon", [](const Json& json) {
    WalHorizons horizons;
    for (const Json& one : json.at("horizons"))
      horizons[TimelineId{one.at("timeline").get<std::uint32_t>()}] = lsn_in(one, "lsn");
    return horizons;
  });
}

Bytes horizons_payload(const WalHorizons& horizons) {
  Json list = Json::array();
  for (const auto& [timeline, lsn] : horizons)
    list.push_back({{"timeline", timeline.value}, {"lsn", lsn.value}});
  return encode_json({{"horizons", std::move(list)}});
}

bool is_gone(const Error& error) {
  return error.code() == ErrorCode::not_found;
}

}  // namespace

Result<WalHorizons> get_wal_horizons(const ClusterSpace& space) {
  const auto payload = get_record(space, horizon_name, RecordKind::retention_horizon);
  if (!payload && is_gone(payload.error())) return WalHorizons();
  auto horizons = payload ? horizons_in(*payload) : std::unexpected(payload.error());
  if (horizons || horizons.error().code() != ErrorCode::damaged) return horizons;
  log_warning("{}; what retention took away counts as lost until the next prune",
              horizons.error().describe());
  return WalHorizons();
}

Result<void> advance_wal_horizons(const ClusterSpace& space, const WalHorizons& horizons) {
  const auto there = get_versioned_record(space, horizon_name, RecordKind::retention_horizon);
  if (!there && is_gone(there.error()))
    return put_record(space, horizon_name, RecordKind::retention_horizon, horizons_payload(horizons));
  if (!there && there.error().code() == ErrorCode::damaged) {
    PGS_CHECK(space.store().remove(space.object_name(horizon_name)));
    return put_record(space, horizon_name, RecordKind::retention_horizon, horizons_payload(horizons));
  }
  if (!there) return std::unexpected(there.error());
  PGS_TRY(WalHorizons advanced, horizons_in(there->payload));
  const WalHorizons before = advanced;
  for (const auto& [timeline, lsn] : horizons) advanced[timeline] = std::max(advanced[timeline], lsn);
  if (advanced == before) return {};
  return replace_record(space, horizon_name, RecordKind::retention_horizon, there->version,
                        horizons_payload(advanced));
}

bool was_let_go(const WalHorizons& horizons, TimelineId timeline, Lsn to) {
  const auto horizon = horizons.find(timeline);
  return horizon != horizons.end() && to <= horizon->second;
}

}  // namespace pgstrata
