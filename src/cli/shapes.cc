#include "cli/shapes.h"

#include "cli/redact.h"

namespace pgstrata {

Json json_time(Timestamp moment) {
  return moment.valid() ? Json(to_rfc3339(moment)) : Json();
}

Json json_lsn(Lsn lsn) {
  return lsn.valid() ? Json(to_string(lsn)) : Json();
}

namespace {

// Null for none.
Json json_recovery(const std::optional<SnapshotRecovery>& recovery) {
  if (!recovery) return {};
  return {{"from_lsn", json_lsn(recovery->from)},
          {"to_lsn", json_lsn(recovery->to)},
          {"duration_seconds", static_cast<double>(recovery->duration.count()) / 1000},
          {"server_version", recovery->server_version}};
}

}  // namespace

Json json_snapshot(const SnapshotRecord& snapshot) {
  Json bad_pages = Json::array();
  for (const BadPage& page : snapshot.bad_pages) {
    bad_pages.push_back({{"path", page.path}, {"block", page.block.value}});
  }
  return {{"id", snapshot.id},
          {"kind", to_string(snapshot.kind)},
          {"started", json_time(snapshot.started)},
          {"finished", json_time(snapshot.finished)},
          {"restorable_from", json_time(snapshot.consistent_time)},
          {"last_commit", json_time(snapshot.last_commit)},
          {"timeline", snapshot.timeline.value},
          {"start_lsn", json_lsn(snapshot.start_lsn)},
          {"consistent_lsn", json_lsn(snapshot.consistent_lsn)},
          {"server_version", snapshot.server_version},
          {"data_checksums", snapshot.data_checksums},
          {"files", snapshot.files},
          {"total_bytes", snapshot.total_bytes},
          {"added_bytes", snapshot.added_bytes},
          {"bad_page_count", snapshot.bad_page_count},
          {"bad_pages", std::move(bad_pages)},
          {"table_count", snapshot.tables.size()},
          {"recovery", json_recovery(snapshot.recovery)}};
}

Json json_tables(const SnapshotRecord& snapshot) {
  Json tables = Json::array();
  for (const SnapshotTable& table : snapshot.tables) {
    tables.push_back({{"database", table.database},
                      {"schema", table.schema},
                      {"table", table.table},
                      {"estimated_rows", table.estimated_rows ? Json(*table.estimated_rows) : Json()},
                      {"bytes", table.bytes}});
  }
  return tables;
}

Json json_range(const CoverageRange& range) {
  return {{"timeline", range.timeline.value},    {"from_time", json_time(range.from_time)},
          {"to_time", json_time(range.to_time)}, {"from_lsn", json_lsn(range.from_lsn)},
          {"to_lsn", json_lsn(range.to_lsn)},    {"last_commit", json_time(range.last_commit)},
          {"open_ended", range.open_ended},      {"snapshots", range.snapshots}};
}

Json json_holder(const std::optional<LeaseHolder>& holder) {
  if (!holder) return {};
  return {{"process_id", holder->process.pid},
          {"host", holder->process.host_name},
          {"since", json_time(holder->since)}};
}

Json json_remarks(const std::vector<SourceRemark>& remarks) {
  Json list = Json::array();
  for (const SourceRemark& remark : remarks) {
    list.push_back({{"what", redact_passwords(remark.what)}, {"fix", redact_passwords(remark.fix)}});
  }
  return list;
}

}  // namespace pgstrata
