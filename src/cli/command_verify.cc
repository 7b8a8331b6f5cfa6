#include <memory>

#include "app/verify_repository.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/progress_meter.h"
#include "cli/shapes.h"

namespace pgstrata {
namespace {

constexpr const char* verify_details =
    R"(Reads and authenticates everything that the snapshots and the WAL consist of, names each damaged
object and each stretch of WAL that is missing, and says which snapshots and which range of time can be
restored no more because of it.

Examples:
  pgstrata verify
  pgstrata verify app --output json

Exit codes: 0 sound, 5 something is damaged or missing.)";

struct VerifyFlags {
  std::optional<std::string> cluster;
  bool read_all = false;
};

Json json_damage(const std::vector<DamagedObject>& damaged) {
  Json list = Json::array();
  for (const DamagedObject& object : damaged) {
    list.push_back({{"name", object.name},
                    {"what", object.what},
                    {"snapshots", object.snapshots},
                    {"files", object.files},
                    {"cure", object.cure.empty() ? Json() : Json(object.cure)}});
  }
  return list;
}

Json json_missing(const std::vector<MissingWal>& missing) {
  Json list = Json::array();
  for (const MissingWal& wal : missing) {
    list.push_back({{"timeline", wal.timeline.value},
                    {"from_lsn", json_lsn(wal.from_lsn)},
                    {"to_lsn", json_lsn(wal.to_lsn)},
                    {"healed_by", wal.healed_by.empty() ? Json() : Json(wal.healed_by)}});
  }
  return list;
}

Json to_json(const VerifyOutcome& outcome) {
  Json clusters = Json::array();
  for (const auto& [name, report] : outcome.clusters) {
    Json lost = Json::array();
    for (const LostCoverage& range : report.lost) {
      lost.push_back({{"timeline", range.timeline.value},
                      {"from_time", json_time(range.from_time)},
                      {"to_time", json_time(range.to_time)},
                      {"from_lsn", json_lsn(range.from_lsn)},
                      {"to_lsn", json_lsn(range.to_lsn)}});
    }
    clusters.push_back({{"name", name},
                        {"sound", report.sound()},
                        {"objects", report.objects},
                        {"bytes_read", report.bytes_read},
                        {"snapshots", report.snapshots},
                        {"wal_segments", report.wal_segments},
                        {"unreferenced_packs", report.unreferenced_packs},
                        {"unknown_objects", report.unknown_objects},
                        {"damaged", json_damage(report.damaged)},
                        {"missing_wal", json_missing(report.missing_wal)},
                        {"lost_coverage", std::move(lost)}});
  }
  Json damaged = json_damage(outcome.damaged_keys);
  for (Json& object : json_damage(outcome.unreadable_clusters)) damaged.push_back(std::move(object));
  return {{"sound", outcome.sound()},
          {"clusters", std::move(clusters)},
          {"unknown_objects", outcome.foreign},
          {"damaged", std::move(damaged)}};
}

std::string text_damage(const DamagedObject& object) {
  std::string text = fmt::format("DAMAGED {}: {}\n", object.name, object.what);
  for (const std::string& snapshot : object.snapshots) {
    text += fmt::format("  snapshot {} cannot be restored whole\n", snapshot);
  }
  for (const std::string& file : object.files) text += fmt::format("  in {}\n", file);
  if (!object.cure.empty()) text += fmt::format("  cure: {}\n", object.cure);
  return text;
}

std::string text_missing(const std::string& cluster, const MissingWal& wal) {
  const auto where =
      fmt::format("WAL of {} on timeline {} from {} to {}", cluster, wal.timeline, wal.from_lsn, wal.to_lsn);
  if (!wal.healed_by.empty())
    return fmt::format("gap: {} is not there; snapshot {} makes a new beginning behind it\n", where,
                       wal.healed_by);
  return fmt::format(
      "MISSING {}: no snapshot lies behind it\n  cure: run `pgstrata backup {} --base`: what "
      "comes after it can be restored again\n",
      where, cluster);
}

std::string text_foreign(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += fmt::format("not of pgstrata, left alone: {}\n", name);
  return text;
}

std::string to_text(const VerifyOutcome& outcome) {
  std::string text = text_foreign(outcome.foreign);
  for (const DamagedObject& object : outcome.damaged_keys) text += text_damage(object);
  for (const DamagedObject& object : outcome.unreadable_clusters) text += text_damage(object);
  for (const auto& [name, report] : outcome.clusters) {
    for (const DamagedObject& object : report.damaged) text += text_damage(object);
    for (const MissingWal& wal : report.missing_wal) text += text_missing(name, wal);
    for (const LostCoverage& lost : report.lost) {
      text += fmt::format("LOST {} to {} ({} to {}, timeline {}) cannot be restored any more\n",
                          human_time(lost.from_time), human_time(lost.to_time), lost.from_lsn, lost.to_lsn,
                          lost.timeline);
    }
    text += text_foreign(report.unknown_objects);
    text += fmt::format("{}: {}; read {} of {} and {}\n", name, report.sound() ? "sound" : "DAMAGED",
                        human_size(report.bytes_read), counted(report.snapshots, "snapshot", "snapshots"),
                        counted(report.wal_segments, "WAL segment", "WAL segments"));
  }
  if (outcome.clusters.empty() && outcome.sound())
    text += "there is no cluster yet; the repository's keys are sound\n";
  return text;
}

Result<int> run_verify(const CommandContext& context, const VerifyFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  auto outcome = [&] {
    ProgressMeter meter(context.console, context.clock);
    meter.begin("verifying");
    VerifyOptions options;
    options.unreferenced = flags.read_all;
    options.on_progress = [&](const VerifyProgress& progress) {
      meter.update_counted(progress.objects, progress.objects_total, progress.bytes_read);
    };
    return verify_repository(repository, flags.cluster, options, context.cancellation);
  }();
  if (!outcome.has_value()) return std::unexpected(std::move(outcome).error());
  context.print(to_json(*outcome), to_text(*outcome));
  return outcome->sound() ? 0 : exit_code(ErrorCode::damaged);
}

}  // namespace

void add_verify_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<VerifyFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(program, invocation,
                  {.name = "verify", .summary = "read and check what is stored", .details = verify_details},
                  [flags](const CommandContext& context) { return run_verify(context, *flags); });
  command->add_option("CLUSTER", flags->cluster, "one cluster; all of them without it");
  command->add_flag("--read-all", flags->read_all,
                    "also what no snapshot reaches: interrupted or running work");
}

}  // namespace pgstrata
