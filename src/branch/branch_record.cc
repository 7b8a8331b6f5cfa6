#include "branch/branch_record.h"

#include <nlohmann/json.hpp>

#include "codec/digest.h"
#include "pg/format/wal_name.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

using Json = nlohmann::json;
constexpr int record_version = 1;

Json segments_json(const std::vector<RecoverySegment>& segments) {
  Json json = Json::array();
  for (const auto& segment : segments) json.push_back({segment.timeline.value, segment.start.value});
  return json;
}

std::vector<RecoverySegment> segments_in(const Json& json) {
  std::vector<RecoverySegment> segments;
  for (const auto& segment : json)
    segments.push_back({{segment.at(0).get<std::uint32_t>()}, {segment.at(1).get<std::uint64_t>()}});
  return segments;
}

Json patches_json(const std::vector<WalPatch>& patches) {
  Json json = Json::array();
  for (const auto& patch : patches) json.push_back({patch.at.value, to_hex(patch.bytes)});
  return json;
}

Result<std::vector<WalPatch>> patches_in(const Json& json) {
  std::vector<WalPatch> patches;
  for (const auto& patch : json) {
    PGS_TRY(auto bytes, from_hex(patch.at(1).get<std::string>()));
    patches.push_back({{patch.at(0).get<std::uint64_t>()}, std::move(bytes)});
  }
  return patches;
}

Result<BranchRecord> record_in(const Json& json) {
  BranchRecord record;
  record.cluster = json.at("cluster");
  record.name = json.at("name");
  record.repository = json.at("repository");
  record.created = {json.at("created").get<std::int64_t>()};
  if (const auto expires = json.find("expires"); expires != json.end())
    record.expires = Timestamp{expires->get<std::int64_t>()};
  record.read_only = json.at("read_only");
  record.disposable = json.value("disposable", false);
  record.target = json.at("target");
  record.moment = {json.at("moment").get<std::int64_t>()};
  record.last_commit = {json.at("last_commit").get<std::int64_t>()};
  record.snapshot = json.at("snapshot");
  record.timeline = {json.at("timeline").get<std::uint32_t>()};
  record.end_lsn = {json.at("end_lsn").get<std::uint64_t>()};
  record.server_version = json.at("server_version");
  record.wal_segment_bytes = json.at("wal_segment_bytes");
  if (!is_wal_segment_size(record.wal_segment_bytes))
    return fail(ErrorCode::damaged, "WAL segments of {} bytes", record.wal_segment_bytes);
  record.wal = segments_in(json.at("wal"));
  record.sealed_wal = segments_in(json.at("sealed_wal"));
  record.wal_settled_to = {json.at("wal_settled_to").get<std::uint64_t>()};
  record.hold = json.value("hold", "");
  for (const auto& timeline : json.at("histories"))
    record.histories.push_back({timeline.get<std::uint32_t>()});
  PGS_TRY(record.wal_patches, patches_in(json.at("wal_patches")));
  record.user = json.at("user");
  record.port = json.at("port");
  for (const auto& setting : json.at("settings")) record.settings.emplace_back(setting.at(0), setting.at(1));
  record.superuser = json.at("superuser");
  record.recovered = json.at("recovered");
  record.started = json.at("started");
  record.promoted_to = json.at("promoted_to");
  return record;
}

}  // namespace

Bytes encode_branch_record(const BranchRecord& record) {
  Json json{{"version", record_version},
            {"cluster", record.cluster},
            {"name", record.name},
            {"repository", record.repository},
            {"created", record.created.micros},
            {"read_only", record.read_only},
            {"disposable", record.disposable},
            {"target", record.target},
            {"moment", record.moment.micros},
            {"last_commit", record.last_commit.micros},
            {"snapshot", record.snapshot},
            {"timeline", record.timeline.value},
            {"end_lsn", record.end_lsn.value},
            {"server_version", record.server_version},
            {"wal_segment_bytes", record.wal_segment_bytes},
            {"wal", segments_json(record.wal)},
            {"sealed_wal", segments_json(record.sealed_wal)},
            {"wal_settled_to", record.wal_settled_to.value},
            {"hold", record.hold},
            {"histories", Json::array()},
            {"wal_patches", patches_json(record.wal_patches)},
            {"user", record.user},
            {"port", record.port},
            {"settings", Json::array()},
            {"superuser", record.superuser},
            {"recovered", record.recovered},
            {"started", record.started},
            {"promoted_to", record.promoted_to}};
  if (record.expires) json["expires"] = record.expires->micros;
  for (const auto timeline : record.histories) json["histories"].push_back(timeline.value);
  for (const auto& [name, value] : record.settings) json["settings"].push_back({name, value});
  return to_bytes(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<BranchRecord> decode_branch_record(ByteView bytes) {
  try {
    const auto json = Json::parse(as_text(bytes));
    if (json.at("version").get<int>() > record_version)
      return fail(ErrorCode::newer_format, "the branch was made by a newer pgstrata");
    return record_in(json);
  } catch (const Json::exception& error) {
    return fail(ErrorCode::damaged, "the branch's record does not parse: {}", error.what());
  }
}

Result<void> put_branch_record(const BranchHome& home, const BranchRecord& record) {
  auto temporary = home.record();
  temporary += ".new";
  const auto bytes = encode_branch_record(record);
  {
    PGS_TRY(const auto file, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC));
    PGS_CHECK(write_all(file, bytes));
    PGS_CHECK(sync_file(file));
  }
  PGS_CHECK(rename_file(temporary, home.record()));
  return sync_directory(home.path());
}

Result<BranchRecord> get_branch_record(const BranchHome& home) {
  PGS_TRY(const auto bytes, read_file(home.record(), 64U << 20));
  PGS_TRY(auto record, decode_branch_record(bytes).context(home.record().native()));
  record.name = home.path().filename().native();  // a rename may have been cut short
  return record;
}

}  // namespace pgstrata
