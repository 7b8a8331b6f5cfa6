#include "catalog/snapshot_record.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include "catalog/for_each_object.h"
#include "catalog/json_record.h"
#include "codec/digest.h"
#include "storage/brief_attempts.h"

namespace pgstrata {

namespace {

constexpr std::string_view prefix = "snapshots/";

Json to_json(const ChunkRef& ref) {
  return {{"pack", to_string(ref.pack)},
          {"offset", ref.location.offset},
          {"stored_size", ref.location.stored_size}};
}

PackId pack_in(const Json& json) {
  auto id = parse_pack_id(json.get<std::string>());
  if (!id) throw Json::other_error::create(501, id.error().message(), &json);
  return *id;
}

ChunkRef chunk_in(const Json& json) {
  return {pack_in(json.at("pack")),
          {json.at("offset").get<std::uint64_t>(), json.at("stored_size").get<std::uint32_t>()}};
}

Json to_json(const SnapshotTable& table) {
  Json json{
      {"database", table.database}, {"schema", table.schema}, {"table", table.table}, {"bytes", table.bytes}};
  if (table.estimated_rows) json["estimated_rows"] = *table.estimated_rows;
  return json;
}

SnapshotTable table_in(const Json& json) {
  SnapshotTable table{json.at("database").get<std::string>(), json.at("schema").get<std::string>(),
                      json.at("table").get<std::string>(), std::nullopt,
                      json.at("bytes").get<std::uint64_t>()};
  if (json.contains("estimated_rows")) table.estimated_rows = json["estimated_rows"].get<std::uint64_t>();
  return table;
}

Json to_json(const SnapshotRecovery& recovery) {
  return {{"from", recovery.from.value},
          {"to", recovery.to.value},
          {"duration_ms", recovery.duration.count()},
          {"server_version", recovery.server_version}};
}

SnapshotRecovery recovery_in(const Json& json) {
  return {lsn_in(json, "from"), lsn_in(json, "to"),
          std::chrono::milliseconds(json.at("duration_ms").get<std::int64_t>()),
          json.at("server_version").get<std::uint32_t>()};
}

std::vector<SnapshotTable> largest(std::vector<SnapshotTable> tables) {
  std::ranges::sort(tables, std::ranges::greater(), &SnapshotTable::bytes);
  if (tables.size() > max_listed_tables) tables.resize(max_listed_tables);
  return tables;
}

// What not every snapshot has, each written only where it is there.
void add_what_rolling_tells(const SnapshotRecord& record, Json& json) {
  if (record.last_commit.valid()) json["last_commit"] = record.last_commit.micros;
  if (record.recovery) json["recovery"] = to_json(*record.recovery);
  if (!record.supersedes.empty()) json["supersedes"] = record.supersedes;
  if (record.tables.empty()) return;
  Json& tables = json["tables"] = Json::array();
  for (const auto& table : largest(record.tables)) tables.push_back(to_json(table));
}

void take_what_rolling_tells(const Json& json, SnapshotRecord& record) {
  if (json.contains("last_commit")) record.last_commit = timestamp_in(json, "last_commit");
  if (json.contains("recovery")) record.recovery = recovery_in(json["recovery"]);
  if (json.contains("supersedes")) json["supersedes"].get_to(record.supersedes);
  if (!json.contains("tables")) return;
  for (const auto& table : json["tables"]) {
    if (record.tables.size() == max_listed_tables) break;
    record.tables.push_back(table_in(table));
  }
}

Json to_json(const SnapshotRecord& record) {
  Json json = {
      {"kind", to_string(record.kind)},
      {"started", record.started.micros},
      {"finished", record.finished.micros},
      {"system_identifier", record.system_identifier.value},
      {"server_version", record.server_version},
      {"wal_segment_bytes", record.wal_segment_bytes},
      {"data_checksums", record.data_checksums},
      {"timeline", record.timeline.value},
      {"start_lsn", record.start_lsn.value},
      {"consistent_lsn", record.consistent_lsn.value},
      {"consistent_time", record.consistent_time.micros},
      {"tree", to_json(record.tree)},
      {"extent_bytes", record.extent_bytes},
      {"files", record.files},
      {"total_bytes", record.total_bytes},
      {"added_bytes", record.added_bytes},
      {"bad_page_count", record.bad_page_count},
      {"tablespaces", Json::array()},
      {"packs", Json::array()},
      {"bad_pages", Json::array()},
  };
  for (const auto& tablespace : record.tablespaces) {
    json["tablespaces"].push_back({{"oid", tablespace.oid.value}, {"location", tablespace.location}});
  }
  for (const auto& pack : record.packs) json["packs"].push_back(to_string(pack));
  for (const auto& bad : record.bad_pages) {
    json["bad_pages"].push_back({{"path", bad.path}, {"block", bad.block.value}});
  }
  add_what_rolling_tells(record, json);
  return json;
}

SnapshotRecord from_json(const Json& json) {
  SnapshotRecord record;
  record.kind = json.at("kind") == "rolled" ? SnapshotKind::rolled : SnapshotKind::base;
  record.started = timestamp_in(json, "started");
  record.finished = timestamp_in(json, "finished");
  json.at("system_identifier").get_to(record.system_identifier.value);
  json.at("server_version").get_to(record.server_version);
  json.at("wal_segment_bytes").get_to(record.wal_segment_bytes);
  json.at("data_checksums").get_to(record.data_checksums);
  json.at("timeline").get_to(record.timeline.value);
  record.start_lsn = lsn_in(json, "start_lsn");
  record.consistent_lsn = lsn_in(json, "consistent_lsn");
  record.consistent_time = timestamp_in(json, "consistent_time");
  record.tree = chunk_in(json.at("tree"));
  json.at("extent_bytes").get_to(record.extent_bytes);
  json.at("files").get_to(record.files);
  json.at("total_bytes").get_to(record.total_bytes);
  json.at("added_bytes").get_to(record.added_bytes);
  json.at("bad_page_count").get_to(record.bad_page_count);
  for (const auto& tablespace : json.at("tablespaces")) {
    record.tablespaces.push_back(
        {{tablespace.at("oid").get<std::uint32_t>()}, tablespace.at("location").get<std::string>()});
  }
  for (const auto& pack : json.at("packs")) record.packs.push_back(pack_in(pack));
  for (const auto& bad : json.at("bad_pages")) {
    record.bad_pages.push_back({bad.at("path").get<std::string>(), {bad.at("block").get<std::uint32_t>()}});
  }
  take_what_rolling_tells(json, record);
  return record;
}

}  // namespace

std::string_view to_string(SnapshotKind kind) {
  return kind == SnapshotKind::rolled ? "rolled" : "base";
}

std::string new_snapshot_id(Timestamp started) {
  std::string digits;  // 20261121T100305.25Z -> 20261121100305
  for (const char c : to_rfc3339(started).substr(0, 19)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  return fmt::format("{}-{}-{}", digits.substr(0, 8), digits.substr(8), to_hex(random_bytes(2)));
}

std::string superseding_snapshot_id(std::string_view id) {
  constexpr std::size_t plain_length = 20;
  const std::size_t generation_at = plain_length + 1;
  std::uint64_t generation = 1;
  if (id.size() > generation_at)
    std::from_chars(id.data() + generation_at, id.data() + id.size(), generation);
  return fmt::format("{}-{}", id.substr(0, plain_length), generation + 1);
}

Result<void> put_snapshot(const ClusterSpace& space, const SnapshotRecord& record) {
  return put_record(space, std::string(prefix) + record.id, RecordKind::snapshot,
                    encode_json(to_json(record)));
}

Result<void> publish_snapshot(const ClusterSpace& space, const SnapshotRecord& record,
                              const PublishingAllowed& allowed) {
  constexpr int tries_max = 12;
  for (int tries = 1;; ++tries) {
    if (allowed) PGS_CHECK(allowed());
    const BriefAttempts brief(publishing_limit);
    auto done = put_snapshot(space, record);
    if (done) return done;
    // An earlier try was done: the id is nobody else's.
    if (tries > 1 && done.error().code() == ErrorCode::already_exists) return {};
    if (tries == tries_max || done.error().code() != ErrorCode::unavailable) return done;
  }
}

Result<SnapshotRecord> get_snapshot(const ClusterSpace& space, std::string_view id) {
  auto payload = get_record(space, std::string(prefix) + std::string(id), RecordKind::snapshot);
  if (!payload && payload.error().code() == ErrorCode::not_found) {
    return std::unexpected(
        make_error(ErrorCode::not_found, "cluster {} has no snapshot {}", space.name(), id)
            .with_hint(fmt::format("`pgstrata snapshot list {}` names those there are.", space.name())));
  }
  if (!payload) return std::unexpected(std::move(payload).error());
  PGS_TRY(auto record, decode_json(*payload, fmt::format("snapshot {}", id), from_json));
  if (record.extent_bytes != extent_bytes) {
    return fail(ErrorCode::newer_format,
                "snapshot {} has extents of {} bytes; this pgstrata reads those of {}", id,
                record.extent_bytes, extent_bytes);
  }
  record.id = id;
  return record;
}

Result<std::vector<std::string>> list_snapshot_ids(const ClusterSpace& space) {
  PGS_TRY(const auto objects, space.list(prefix));
  std::vector<std::string> ids;
  for (const auto& object : objects) ids.push_back(object.name.substr(prefix.size()));
  return ids;
}

Result<SnapshotList> list_snapshots(const ClusterSpace& space) {
  PGS_TRY(const auto ids, list_snapshot_ids(space));
  SnapshotList list;
  auto records =
      for_each_object(space, ids, [&space](const std::string& id) { return get_snapshot(space, id); });
  for (std::size_t at = 0; at < ids.size(); ++at) {
    auto& record = records[at];
    if (record) {
      list.snapshots.push_back(std::move(*record));
    } else if (record.error().code() == ErrorCode::damaged ||
               record.error().code() == ErrorCode::newer_format) {
      list.damaged.push_back({ids[at], std::move(record).error()});
    } else if (record.error().code() != ErrorCode::not_found) {  // gone since the listing: pruned
      return std::unexpected(std::move(record).error());
    }
  }
  std::ranges::sort(list.snapshots, {}, [](const SnapshotRecord& snapshot) {
    return std::tie(snapshot.timeline, snapshot.consistent_lsn, snapshot.id);
  });
  return list;
}

Result<SnapshotList> list_whole_snapshots(const ClusterSpace& space) {
  PGS_TRY(SnapshotList list, list_snapshots(space));
  PGS_CHECK(set_aside_incomplete(space, list));
  return list;
}

Result<std::vector<SnapshotRecord>> set_aside_incomplete(const ClusterSpace& space, SnapshotList& list) {
  std::vector<SnapshotRecord> incomplete;
  if (list.snapshots.empty()) return incomplete;
  PGS_TRY(const auto packs, list_packs(space));
  const auto is_there = [&packs](const PackId& id) {
    const auto pack = packs.find(id);
    return pack != packs.end() && pack->second > 0;
  };
  std::erase_if(list.snapshots, [&](const SnapshotRecord& snapshot) {
    const auto missing =
        std::ranges::count_if(snapshot.packs, [&](const PackId& id) { return !is_there(id); });
    if (missing == 0) return false;
    list.damaged.push_back(
        {snapshot.id, make_error(ErrorCode::damaged, "{} of its {} packs {} gone or empty", missing,
                                 snapshot.packs.size(), missing == 1 ? "is" : "are")});
    incomplete.push_back(snapshot);
    return true;
  });
  return incomplete;
}

Result<void> remove_snapshot(const ClusterSpace& space, std::string_view id) {
  return space.store().remove(space.object_name(std::string(prefix) + std::string(id)));
}

}  // namespace pgstrata
