#include "catalog/hold.h"

#include <algorithm>
#include <tuple>

#include "base/log.h"
#include "catalog/condemned.h"
#include "catalog/json_record.h"
#include "catalog/snapshot_record.h"
#include "catalog/wal_inventory.h"

namespace pgstrata {
namespace {

constexpr std::string_view holds_prefix = "holds/";

std::string hold_name(std::string_view id) {
  return fmt::format("{}{}", holds_prefix, id);
}

Json json_of_hold(const Hold& hold) {
  return {
      {"kind", to_string(hold.kind)},    {"snapshot", hold.snapshot},   {"timeline", hold.timeline.value},
      {"from_lsn", hold.from_lsn.value}, {"to_lsn", hold.to_lsn.value}, {"reason", hold.reason},
      {"created", hold.created.micros},  {"until", hold.until.micros},
  };
}

HoldKind hold_kind_in(const Json& json) {
  for (const HoldKind kind : {HoldKind::branch, HoldKind::restore}) {
    if (json.at("kind") == to_string(kind)) return kind;
  }
  return HoldKind::operator_;
}

Hold hold_in(const Json& json) {
  Hold hold;
  hold.kind = hold_kind_in(json);
  json.at("snapshot").get_to(hold.snapshot);
  json.at("timeline").get_to(hold.timeline.value);
  hold.from_lsn = lsn_in(json, "from_lsn");
  hold.to_lsn = lsn_in(json, "to_lsn");
  json.at("reason").get_to(hold.reason);
  hold.created = timestamp_in(json, "created");
  hold.until = timestamp_in(json, "until");
  return hold;
}

Result<Hold> get_hold(const ClusterSpace& space, const std::string& id) {
  PGS_TRY(const Bytes payload, get_record(space, hold_name(id), RecordKind::hold));
  PGS_TRY(Hold hold, decode_json(payload, fmt::format("hold {}", id), hold_in));
  hold.id = id;
  return hold;
}

Error taken_away(const ClusterSpace& space, const std::string& what) {
  return make_error(ErrorCode::not_found, "{} of {} has just been removed by retention, or is about to be",
                    what, space.name())
      .with_hint(fmt::format("`pgstrata status {}` says what can be restored.", space.name()));
}

Result<void> check_not_condemned(const ClusterSpace& space, const Hold& hold, const WalSegmentIds& segments) {
  PGS_TRY(const Condemned condemned, load_condemned(space));
  if (condemned.snapshots.contains(hold.snapshot))
    return std::unexpected(taken_away(space, "snapshot " + hold.snapshot));
  const bool wal = std::ranges::any_of(
      segments, [&](const auto& segment) { return condemned.segments.contains(segment); });
  if (wal) return std::unexpected(taken_away(space, "WAL"));
  return {};
}

Result<void> check_still_there(const ClusterSpace& space, const Hold& hold, const WalSegmentIds& segments,
                               std::uint32_t wal_segment_bytes) {
  const auto record = space.store().stat(space.object_name("snapshots/" + hold.snapshot));
  if (!record && record.error().code() != ErrorCode::not_found) return std::unexpected(record.error());
  if (!record) return std::unexpected(taken_away(space, "snapshot " + hold.snapshot));
  PGS_TRY(const WalInventory inventory, WalInventory::load(space, wal_segment_bytes));
  for (const auto& [timeline, start] : segments) {
    if (inventory.find(timeline, start) == nullptr) return std::unexpected(taken_away(space, "WAL"));
  }
  return {};
}

}  // namespace

std::string_view to_string(HoldKind kind) {
  switch (kind) {
    case HoldKind::operator_:
      return "operator";
    case HoldKind::branch:
      return "branch";
    case HoldKind::restore:
      return "restore";
  }
  return "operator";
}

Result<std::string> put_hold(const ClusterSpace& space, Hold hold, const Clock& clock) {
  hold.created = clock.now();
  if (hold.id.empty()) hold.id = new_snapshot_id(hold.created);
  PGS_CHECK(put_record(space, hold_name(hold.id), RecordKind::hold, encode_json(json_of_hold(hold))));
  return hold.id;
}

Result<HoldList> list_holds(const ClusterSpace& space) {
  PGS_TRY(const auto objects, space.list(holds_prefix));
  HoldList list;
  for (const auto& object : objects) {
    const std::string id = object.name.substr(holds_prefix.size());
    auto hold = get_hold(space, id);
    if (hold) {
      list.holds.push_back(*std::move(hold));
    } else if (is_lasting_damage(hold.error()) || hold.error().code() == ErrorCode::newer_format) {
      list.damaged.push_back({id, std::move(hold).error()});
    } else if (hold.error().code() != ErrorCode::not_found) {
      return std::unexpected(std::move(hold).error());
    }
  }
  std::ranges::sort(list.holds, {}, [](const Hold& hold) { return std::tie(hold.created, hold.id); });
  return list;
}

bool has_ended(const Hold& hold, Timestamp now) {
  return hold.until.valid() && hold.until < now;
}

Result<void> remove_hold(const ClusterSpace& space, std::string_view id) {
  const auto there = check_object_name(hold_name(id)) ? space.store().stat(space.object_name(hold_name(id)))
                                                      : std::unexpected(Error(ErrorCode::not_found, ""));
  if (!there && there.error().code() != ErrorCode::not_found) return std::unexpected(there.error());
  if (!there) {
    return std::unexpected(
        make_error(ErrorCode::not_found, "cluster {} has no hold \"{}\"", space.name(), id)
            .with_hint(fmt::format("`pgstrata hold list {}` names those there are.", space.name())));
  }
  return remove_hold(space.store(), space.name(), id);
}

Result<void> remove_hold(ObjectStore& store, std::string_view cluster, std::string_view id) {
  return store.remove(cluster_object_name(cluster, hold_name(id)));
}

Result<std::string> hold_for_reading(const ClusterSpace& space, Hold hold, const WalSegmentIds& segments,
                                     std::uint32_t wal_segment_bytes, const Clock& clock) {
  PGS_TRY(hold.id, put_hold(space, hold, clock));
  auto kept = check_not_condemned(space, hold, segments);
  if (kept) kept = check_still_there(space, hold, segments, wal_segment_bytes);
  if (kept) return hold.id;
  if (const auto removed = remove_hold(space.store(), space.name(), hold.id); !removed)
    log_warning("hold {} of {} is left over: {}", hold.id, space.name(), removed.error().describe());
  return std::unexpected(std::move(kept).error());
}

}  // namespace pgstrata
