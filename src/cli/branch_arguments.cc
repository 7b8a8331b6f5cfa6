#include "cli/branch_arguments.h"

#include "cli/shapes.h"

namespace pgstrata {

void add_branch_name(CLI::App& command, BranchName& branch) {
  add_cluster_argument(command, branch.cluster);
  command.add_option("NAME", branch.name, "the branch")->required();
}

BranchHome home_of(const CommandContext& context, const BranchName& branch) {
  return {context.settings.state_directory, branch.cluster, branch.name};
}

Result<BranchRecord> known_branch(const CommandContext& context, const BranchName& branch) {
  auto record = get_branch_record(home_of(context, branch));
  if (record || record.error().code() != ErrorCode::not_found) return record;
  PGS_CHECK(lock_branch(home_of(context, branch)));  // says so, and which there are
  return record;
}

void expire_branches(const CommandContext& context, const std::string& cluster, const std::string& spared) {
  expire_branches_of(context.settings.state_directory, cluster, spared, context.clock.now());
}

Json branch_json(const BranchHome& home, const BranchRecord& record) {
  Json json{{"cluster", record.cluster},
            {"name", record.name},
            {"url", socket_url(home, record)},
            {"tcp_url", tcp_url(record)},
            {"moment", json_time(record.moment)},
            {"target", record.target},
            {"last_commit", json_time(record.last_commit)},
            {"lsn", json_lsn(record.end_lsn)},
            {"snapshot", record.snapshot},
            {"read_only", record.read_only},
            {"created", json_time(record.created)},
            {"expires", record.expires ? json_time(*record.expires) : Json()},
            {"port", record.port},
            {"data_directory", home.data().string()},
            {"log_file", home.server_log().string()}};
  return json;
}

Json branch_json(const BranchHome& home, const BranchSight& sight) {
  auto json = branch_json(home, sight.record);
  json["state"] = to_string(sight.state);
  json["overlay_bytes"] = sight.overlay_bytes;
  json["wal_bytes"] = sight.wal_bytes;
  json["trouble"] = sight.trouble.empty() ? Json() : Json(sight.trouble);
  return json;
}

}  // namespace pgstrata
