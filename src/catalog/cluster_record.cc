#include "catalog/cluster_record.h"

#include "catalog/json_record.h"

namespace pgstrata {

namespace {

constexpr std::string_view record_name = "cluster";

Json to_json(const ClusterRecord& record) {
  return {
      {"connection", record.connection},
      {"system_identifier", record.system_identifier.value},
      {"server_version", record.server_version},
      {"wal_segment_bytes", record.wal_segment_bytes},
      {"slot", record.slot},
      {"data_checksums", record.data_checksums},
      {"added", record.added.micros},
  };
}

}  // namespace

Result<void> put_cluster_record(const ClusterSpace& space, const ClusterRecord& record) {
  return put_record(space, record_name, RecordKind::cluster, encode_json(to_json(record)));
}

Result<void> replace_cluster_record(const ClusterSpace& space, const ClusterRecord& record) {
  PGS_TRY(const auto there, get_versioned_record(space, record_name, RecordKind::cluster));
  PGS_TRY(const Bytes payload, decode_json(there.payload, "cluster record", [&](const Json& json) {
            Json changed = json;
            changed.update(to_json(record));
            return encode_json(changed);
          }));
  return replace_record(space, record_name, RecordKind::cluster, there.version, payload);
}

Result<ClusterRecord> get_cluster_record(const ClusterSpace& space) {
  auto payload = get_record(space, record_name, RecordKind::cluster);
  if (!payload) {
    if (payload.error().code() != ErrorCode::not_found) return std::unexpected(std::move(payload).error());
    return std::unexpected(
        make_error(ErrorCode::not_found, "cluster {} was never fully added", space.name())
            .with_hint(fmt::format("Run `pgstrata add {} --url URL` again.", space.name())));
  }
  return decode_json(*payload, "cluster record", [](const Json& json) {
    ClusterRecord record;
    json.at("connection").get_to(record.connection);
    json.at("system_identifier").get_to(record.system_identifier.value);
    json.at("server_version").get_to(record.server_version);
    json.at("wal_segment_bytes").get_to(record.wal_segment_bytes);
    json.at("slot").get_to(record.slot);
    json.at("data_checksums").get_to(record.data_checksums);
    record.added = timestamp_in(json, "added");
    return record;
  });
}

}  // namespace pgstrata
