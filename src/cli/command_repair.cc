#include <memory>

#include "app/repair_cluster.h"
#include "cli/commands.h"
#include "cli/damage_shapes.h"
#include "cli/human.h"
#include "cli/progress_meter.h"
#include "cli/shapes.h"

namespace pgstrata {
namespace {

constexpr const char* repair_details =
    R"(Reads and authenticates everything, as verify does, removes what is damaged for good, and says exactly which
snapshots and which ranges of time and LSN were lost with it. Snapshots that cannot be restored whole go first,
then packs, WAL, marks and leases that do not authenticate.

A snapshot that can be restored is never removed, nor is a pack that one needs, nor what the disk only failed to
read: such objects are told as KEPT. Look with --dry-run first: where there is a copy of the repository, what is
damaged can be brought back from it instead.

Examples:
  pgstrata repair app --dry-run
  pgstrata repair app

Exit codes: 0 nothing damaged is left, 5 something is (with --dry-run: something is damaged), 7 a backup, a prune or
another repair is under way.)";

struct RepairFlags {
  std::string cluster;
  bool dry_run = false;
};

Json json_dropped(const std::vector<DroppedObject>& dropped) {
  Json list = Json::array();
  for (const DroppedObject& object : dropped) list.push_back({{"name", object.name}, {"what", object.what}});
  return list;
}

Json json_rewritten(const std::vector<RewrittenWal>& rewritten) {
  Json list = Json::array();
  for (const RewrittenWal& wal : rewritten) {
    list.push_back({{"timeline", wal.timeline.value},
                    {"from_lsn", json_lsn(wal.from_lsn)},
                    {"to_lsn", json_lsn(wal.to_lsn)}});
  }
  return list;
}

Json json_lost_snapshots(const std::vector<LostSnapshot>& lost) {
  Json list = Json::array();
  for (const LostSnapshot& snapshot : lost) {
    list.push_back({{"id", snapshot.id},
                    {"consistent_time", json_time(snapshot.consistent_time)},
                    {"consistent_lsn", json_lsn(snapshot.consistent_lsn)},
                    {"what", snapshot.what}});
  }
  return list;
}

Json json_kept(const std::vector<KeptObject>& kept) {
  Json list = Json::array();
  for (const KeptObject& object : kept) {
    list.push_back(
        {{"name", object.name}, {"what", object.what}, {"why", object.why}, {"snapshots", object.snapshots}});
  }
  return list;
}

Json to_json(const RepairFlags& flags, const RepairReport& report) {
  Json coverage = Json::array();
  for (const CoverageRange& range : report.coverage.ranges) coverage.push_back(json_range(range));
  return {{"cluster", flags.cluster},
          {"dry_run", flags.dry_run},
          {"was_sound", report.found.sound()},
          {"sound", report.sound()},
          {"dropped", json_dropped(report.dropped)},
          {"rewritten_wal", json_rewritten(report.rewritten_wal)},
          {"lost_snapshots", json_lost_snapshots(report.lost_snapshots)},
          {"lost_coverage", json_lost(report.lost)},
          {"kept", json_kept(report.kept)},
          {"missing_wal", json_missing(report.missing_wal)},
          {"unknown_objects", report.found.unknown_objects},
          {"coverage", std::move(coverage)}};
}

std::string text_lost_snapshot(const LostSnapshot& snapshot) {
  if (!snapshot.consistent_lsn.valid())
    return fmt::format("LOST snapshot {}: its record cannot be read\n", snapshot.id);
  return fmt::format("LOST snapshot {} of {} ({}) cannot be restored whole\n", snapshot.id,
                     human_time(snapshot.consistent_time), snapshot.consistent_lsn);
}

std::string text_kept(const KeptObject& object) {
  std::string text = fmt::format("KEPT {}: {}\n  {}\n", object.name, object.what, object.why);
  for (const std::string& snapshot : object.snapshots) text += fmt::format("  snapshot {}\n", snapshot);
  return text;
}

std::string text_coverage(const Coverage& coverage) {
  std::string text;
  for (const CoverageRange& range : coverage.ranges) {
    text += fmt::format("can be restored: {} to {} ({} to {}, timeline {}), from {}\n",
                        human_time(range.from_time), human_time(range.to_time), range.from_lsn, range.to_lsn,
                        range.timeline, counted(range.snapshots.size(), "snapshot", "snapshots"));
  }
  return text.empty() ? "can be restored: nothing\n" : text;
}

std::string text_verdict(const RepairFlags& flags, const RepairReport& report) {
  if (report.found.sound() && report.dropped.empty()) return "sound, nothing to repair";
  const auto objects = counted(report.dropped.size(), "object", "objects");
  if (flags.dry_run) return fmt::format("DAMAGED; repair would remove {}", objects);
  return fmt::format("removed {}; {}", objects, report.sound() ? "sound now" : "STILL DAMAGED");
}

std::string to_text(const RepairFlags& flags, const RepairReport& report) {
  std::string text;
  const char* removed = flags.dry_run ? "would remove" : "removed";
  for (const DroppedObject& object : report.dropped)
    text += fmt::format("{} {}: {}\n", removed, object.name, object.what);
  for (const RewrittenWal& wal : report.rewritten_wal) {
    text += fmt::format("{} what can be read of damaged tails: WAL of timeline {} from {} to {}\n",
                        flags.dry_run ? "would write anew" : "wrote anew", wal.timeline, wal.from_lsn,
                        wal.to_lsn);
  }
  for (const LostSnapshot& snapshot : report.lost_snapshots) text += text_lost_snapshot(snapshot);
  for (const LostCoverage& lost : report.lost) text += text_lost(lost);
  for (const KeptObject& object : report.kept) text += text_kept(object);
  for (const MissingWal& wal : report.missing_wal) text += text_missing(flags.cluster, wal);
  text += text_foreign(report.found.unknown_objects);
  text += text_coverage(report.coverage);
  return text + fmt::format("{}: {}\n", flags.cluster, text_verdict(flags, report));
}

Result<int> run_repair(const CommandContext& context, const RepairFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(repository, flags.cluster));
  const auto report = [&] {
    ProgressMeter meter(context.console, context.clock);
    meter.begin("reading");
    RepairRequest request{.dry_run = flags.dry_run, .on_progress = [&](const VerifyProgress& progress) {
                            meter.update_counted(progress.objects, progress.objects_total,
                                                 progress.bytes_read);
                          }};
    return repair_registered_cluster(cluster, request, context.clock, context.cancellation);
  }();
  if (!report.has_value()) return std::unexpected(report.error());
  context.print(to_json(flags, *report), to_text(flags, *report));
  const bool sound = flags.dry_run ? report->found.sound() : report->sound();
  return sound ? 0 : exit_code(ErrorCode::damaged);
}

}  // namespace

void add_repair_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<RepairFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(program, invocation,
                  {.name = "repair",
                   .summary = "drop what cannot be read any more, and say what was lost",
                   .details = repair_details},
                  [flags](const CommandContext& context) { return run_repair(context, *flags); });
  add_cluster_argument(*command, flags->cluster);
  command->add_flag("--dry-run", flags->dry_run, "say what would go, and remove nothing");
}

}  // namespace pgstrata
