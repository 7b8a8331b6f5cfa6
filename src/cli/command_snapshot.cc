#include <memory>

#include "app/registered_cluster.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/shapes.h"
#include "cli/table.h"

namespace pgstrata {
namespace {

constexpr const char* snapshot_list_details =
    R"(The snapshots of a cluster, oldest first. One that cannot be read is named and passed over.

Examples:
  pgstrata snapshot list app
  pgstrata snapshot list app --output json
  pgstrata snapshot list app --tables --output json   # with the tables that each rolled one lists

Exit codes: 0 listed, 5 one of them is damaged.)";

std::string text_list(const std::vector<SnapshotRecord>& snapshots) {
  Table table({{.title = "SNAPSHOT"},
               {.title = "KIND"},
               {.title = "RESTORABLE FROM"},
               {.title = "TIMELINE", .align = Align::right},
               {.title = "SIZE", .align = Align::right},
               {.title = "ADDED", .align = Align::right},
               {.title = "BAD PAGES", .align = Align::right}});
  for (const SnapshotRecord& snapshot : snapshots) {
    table.add({snapshot.id, std::string(to_string(snapshot.kind)), human_time(snapshot.consistent_time),
               fmt::format("{}", snapshot.timeline), human_size(snapshot.total_bytes),
               human_size(snapshot.added_bytes), fmt::format("{}", snapshot.bad_page_count)});
  }
  return table.text();
}

struct ListFlags {
  std::string cluster;
  bool tables = false;
};

Json json_of(const SnapshotRecord& snapshot, bool tables) {
  Json json = json_snapshot(snapshot);
  if (tables) json["tables"] = json_tables(snapshot);
  return json;
}

Result<int> run_list(const CommandContext& context, const ListFlags& flags) {
  const auto& cluster = flags.cluster;
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const RegisteredCluster registered, open_registered_cluster(repository, cluster));
  PGS_TRY(const SnapshotList list, list_whole_snapshots(registered.space));
  Json snapshots = Json::array();
  for (const SnapshotRecord& snapshot : list.snapshots) snapshots.push_back(json_of(snapshot, flags.tables));
  Json damaged = Json::array();
  for (const auto& one : list.damaged) {
    damaged.push_back({{"id", one.id}, {"error", one.error.describe()}});
    log_error("snapshot {} cannot be restored: {}", one.id, one.error.describe());
  }
  context.print({{"cluster", cluster}, {"snapshots", std::move(snapshots)}, {"damaged", std::move(damaged)}},
                list.snapshots.empty()
                    ? fmt::format("{} has no snapshot: `pgstrata backup {}` makes one\n", cluster, cluster)
                    : text_list(list.snapshots));
  return list.damaged.empty() ? 0 : exit_code(ErrorCode::damaged);
}

}  // namespace

void add_snapshot_commands(CLI::App& program, Invocation& invocation) {
  CLI::App* noun = add_noun(program, "snapshot", "the snapshots: list");
  const auto flags = std::make_shared<ListFlags>();  // shared with the action, which outlives this call
  CLI::App* list =
      add_command(*noun, invocation,
                  {.name = "list", .summary = "a cluster's snapshots", .details = snapshot_list_details},
                  [flags](const CommandContext& context) { return run_list(context, *flags); });
  add_cluster_argument(*list, flags->cluster);
  list->add_flag("--tables", flags->tables, "with --output json: the tables that each lists");
}

}  // namespace pgstrata
