#include <memory>

#include "cli/commands.h"
#include "cli/human.h"
#include "cli/shapes.h"
#include "cli/status_shapes.h"
#include "cli/table.h"

namespace pgstrata {
namespace {

constexpr const char* prune_details =
    R"(Removes what retention lets go, and what interrupted work left more than a day ago. Others may back up, stream, restore and
branch meanwhile. The policy is in the settings file:

  [retention]
  window = "30d"       # any second of this time can be restored,
  every = "2d"         # from every snapshot there is for so long (without it: all of the window),
  hourly = "7d"        # and then from the newest of each hour
  daily = "30d"        # of longer, the newest snapshot of each day,
  weekly = "90d"       # week,
  monthly = "1y"       # month
  yearly = "7y"        # and year, for as long as said
  floor = "14d"        # nothing younger ever goes; once recorded, it cannot be lowered

  [cluster.app.retention]   # in the place of the general one
  window = "7d"

Without one, no snapshot and no WAL is removed. Ages count back from the newest moment that the repository holds, so that a
source that stands still loses nothing. The newest snapshot that can be restored always stays, and so does all that a hold or a
branch needs.

Examples:
  pgstrata prune --dry-run
  pgstrata prune app

Exit codes: 0 done, 5 something is damaged, so that it is not known what is needed: nothing was removed, 7 another prune is
under way.)";

struct PruneFlags {
  std::optional<std::string> cluster;
  bool dry_run = false;
};

std::string names_of_rules(const SnapshotFate& fate) {
  std::vector<std::string_view> names;
  for (const KeepRule rule : fate.kept_by) names.push_back(to_string(rule));
  return fmt::format("{}", fmt::join(names, ", "));
}

Json prune_json(const RetentionPolicy& policy) {
  const auto seconds = [](std::chrono::seconds span) {
    return span.count() == 0 ? Json() : Json(span.count());
  };
  return {{"window_seconds", policy.window ? Json(policy.window->count()) : Json()},
          {"every_seconds", policy.every ? Json(policy.every->count()) : Json()},
          {"hourly_seconds", seconds(policy.hourly)},
          {"daily_seconds", seconds(policy.daily)},
          {"weekly_seconds", seconds(policy.weekly)},
          {"monthly_seconds", seconds(policy.monthly)},
          {"yearly_seconds", seconds(policy.yearly)},
          {"floor_seconds", seconds(policy.floor)}};
}

Json prune_json(const Coverage& coverage) {
  Json ranges = Json::array();
  for (const auto& range : coverage.ranges) ranges.push_back(json_range(range));
  return ranges;
}

Json prune_json(const PrunedCluster& pruned) {
  const auto& plan = pruned.report.plan;
  Json snapshots = Json::array();
  for (const SnapshotFate& fate : plan.snapshots) {
    Json rules = Json::array();
    for (const KeepRule rule : fate.kept_by) rules.push_back(to_string(rule));
    snapshots.push_back({{"id", fate.snapshot.id},
                         {"restorable_from", json_time(fate.snapshot.consistent_time)},
                         {"kept_by", std::move(rules)},
                         {"freed_bytes", fate.only_here_bytes}});
  }
  return {{"cluster", pruned.name},
          {"policy", prune_json(pruned.policy)},
          {"snapshots", std::move(snapshots)},
          {"leftover_packs", plan.stray_packs},
          {"leftover_bytes", plan.stray_bytes},
          {"wal_segments", plan.segments.size()},
          {"wal_bytes", plan.wal_bytes},
          {"freed_bytes", plan.pack_bytes + plan.wal_bytes},
          {"removed_objects", pruned.report.removed_objects},
          {"removed_bytes", pruned.report.removed_bytes},
          {"waits_for", pruned.report.waits_for.empty() ? Json() : Json(pruned.report.waits_for)},
          {"compacted",
           {{"packs", pruned.report.compaction.packs},
            {"dead_bytes", pruned.report.compaction.dead_bytes},
            {"snapshots", pruned.report.compaction.snapshots}}},
          {"coverage_before", prune_json(pruned.report.before)},
          {"coverage_after", prune_json(plan.after)}};
}

// Of snapshots that follow each other and share their fate one row.
std::string text_fates(const std::vector<SnapshotFate>& fates, bool dry_run) {
  Table table({{.title = "SNAPSHOTS", .align = Align::right},
               {.title = "RESTORABLE FROM"},
               {.title = "TO"},
               {.title = "KEPT BY"},
               {.title = "FREES", .align = Align::right}});
  for (auto from = fates.begin(); from != fates.end();) {
    const std::string rules = names_of_rules(*from);
    auto to = from;
    std::uint64_t freed_bytes = 0;
    for (; to != fates.end() && names_of_rules(*to) == rules; ++to) freed_bytes += to->only_here_bytes;
    table.add(
        {std::to_string(to - from), human_time(from->snapshot.consistent_time),
         human_time(std::prev(to)->snapshot.consistent_time),
         rules.empty() ? std::string(dry_run ? "nothing: would be deleted" : "nothing: deleted") : rules,
         rules.empty() ? human_size(freed_bytes) : "-"});
    from = to;
  }
  return table.text();
}

std::string prune_coverage_text(std::string_view when, const Coverage& coverage,
                                const WalHorizons& horizons) {
  std::string text;
  std::size_t alone = 0;
  for (const auto& range : coverage.ranges) {
    if (is_kept_of_earlier(range, horizons)) {
      alone += range.snapshots.size();
      continue;
    }
    text += fmt::format(
        "  {}{} to {}{}\n", when, human_time(range.from_time), human_time(range.to_time),
        range.timeline == coverage.current_timeline ? "" : fmt::format(" (timeline {})", range.timeline));
  }
  if (alone > 0)
    text += fmt::format("  {}{} of earlier times, as of their own moments\n", when,
                        counted(alone, "snapshot", "snapshots"));
  return text.empty() ? fmt::format("  {}nothing\n", when) : text;
}

std::string prune_text(const PrunedCluster& pruned, bool dry_run) {
  const auto& plan = pruned.report.plan;
  std::string text = fmt::format("{}:\n", pruned.name);
  if (!pruned.policy.window)
    text += "no retention policy: all snapshots and all WAL are kept (`pgstrata prune --help` shows one)\n";
  if (pruned.policy.floor.count() > 0)
    text += fmt::format("floor: nothing younger than {} is removed; {} and can only be raised\n",
                        human_duration(pruned.policy.floor),
                        dry_run ? "a prune records that," : "that is recorded,");
  if (!plan.snapshots.empty()) text += text_fates(plan.snapshots, dry_run);
  if (!plan.segments.empty())
    text += fmt::format("WAL that nothing needs: {}, {}\n",
                        counted(plan.segments.size(), "segment", "segments"), human_size(plan.wal_bytes));
  if (plan.stray_packs > 0)
    text += fmt::format("left by interrupted work: {}, {}\n", counted(plan.stray_packs, "pack", "packs"),
                        human_size(plan.stray_bytes));
  text += "what can be restored\n";
  text += prune_coverage_text("before: ", pruned.report.before, plan.horizons);
  text += prune_coverage_text("after:  ", plan.after, plan.horizons);
  if (dry_run) return text + fmt::format("would free {}\n", human_size(plan.pack_bytes + plan.wal_bytes));
  text += fmt::format("removed {}, {}\n", counted(pruned.report.removed_objects, "object", "objects"),
                      human_size(pruned.report.removed_bytes));
  const Compaction& compaction = pruned.report.compaction;
  if (compaction.packs > 0)
    text += fmt::format("stored anew what was needed of {} with {} that was not; {} published again\n",
                        counted(compaction.packs, "pack", "packs"), human_size(compaction.dead_bytes),
                        counted(compaction.snapshots, "snapshot is", "snapshots are"));
  if (pruned.report.waits_for == waits_for_listings)
    text += "what else is to go is removed by a prune in an hour: this store may list what is new late\n";
  else if (!pruned.report.waits_for.empty())
    text +=
        fmt::format("what else is to go may be in use by a {} that is under way: the next prune removes it\n",
                    pruned.report.waits_for);
  return text;
}

Result<int> run_prune(const CommandContext& context, const PruneFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const auto pruned, prune_repository(repository, flags.cluster, context.settings.retention,
                                              flags.dry_run, context.clock, context.cancellation));
  Json clusters = Json::array();
  std::string text;
  for (const PrunedCluster& cluster : pruned) {
    clusters.push_back(prune_json(cluster));
    text += prune_text(cluster, flags.dry_run);
  }
  if (pruned.empty()) text = "there is no cluster yet\n";
  context.print({{"dry_run", flags.dry_run}, {"clusters", std::move(clusters)}}, text);
  return 0;
}

}  // namespace

void add_prune_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<PruneFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(program, invocation,
                  {.name = "prune", .summary = "remove what retention lets go", .details = prune_details},
                  [flags](const CommandContext& context) { return run_prune(context, *flags); });
  command->add_option("CLUSTER", flags->cluster, "one cluster; all of them without it");
  command->add_flag("--dry-run", flags->dry_run, "say what would go, and remove nothing");
}

}  // namespace pgstrata
