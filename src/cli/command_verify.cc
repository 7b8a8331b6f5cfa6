#include <charconv>
#include <memory>
#include <random>

#include "app/verify_repository.h"
#include "cli/commands.h"
#include "cli/damage_shapes.h"
#include "cli/human.h"
#include "cli/progress_meter.h"

namespace pgstrata {
namespace {

constexpr const char* verify_details =
    R"(Reads and authenticates everything that the snapshots and the WAL consist of, names each damaged
object and each stretch of WAL that is missing, and says which snapshots and which range of time can be
restored no more because of it.

--structure reads no content: each snapshot's record and maps are opened, each pack and WAL segment is there with
its directory, and each chunk that is referred to is in one. --sample reads N percent beside that: of each
pack runs of 16 chunks that lie side by side, of the WAL whole segments, chosen at random. The number that
the choice was made with is printed; --seed makes the same choice again.

Examples:
  pgstrata verify
  pgstrata verify --structure
  pgstrata verify --sample 5%
  pgstrata verify app --output json

Exit codes: 0 sound, 5 something is damaged or missing.)";

struct VerifyFlags {
  std::optional<std::string> cluster;
  bool read_all = false;
  bool structure = false;
  std::optional<std::string> sample;
  std::optional<std::uint32_t> seed;
};

// "5%", "0.5". Error: usage.
Result<double> parse_percent(std::string_view text) {
  std::string_view number = text;
  if (number.ends_with('%')) number.remove_suffix(1);
  double percent = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), percent);
  const bool whole = error == std::errc() && end == number.data() + number.size();
  if (whole && percent > 0 && percent <= 100) return percent;
  return std::unexpected(make_error(ErrorCode::usage, "\"{}\" is no part of the whole", text)
                             .with_hint("Write a number above 0 and up to 100: 5%, 0.5%."));
}

Result<VerifyOptions> options_of(const VerifyFlags& flags) {
  VerifyOptions options;
  options.unreferenced = flags.read_all;
  if (flags.structure) options.level = VerifyLevel::structure;
  if (!flags.sample) return options;
  options.level = VerifyLevel::sample;
  PGS_TRY(options.sample_percent, parse_percent(*flags.sample));
  options.seed = flags.seed ? *flags.seed : std::random_device()();
  return options;
}

Json to_json(const VerifyOutcome& outcome, const VerifyOptions& options) {
  const bool sampled = options.level == VerifyLevel::sample;
  Json clusters = Json::array();
  for (const auto& [name, report] : outcome.clusters) {
    clusters.push_back({{"name", name},
                        {"sound", report.sound()},
                        {"objects", report.objects},
                        {"bytes_read", report.bytes_read},
                        {"snapshots", report.snapshots},
                        {"chunks", report.chunks},
                        {"chunks_read", report.chunks_read},
                        {"wal_segments", report.wal_segments},
                        {"wal_segments_read", report.wal_segments_read},
                        {"unreferenced_packs", report.unreferenced_packs},
                        {"unknown_objects", report.unknown_objects},
                        {"damaged", json_damage(report.damaged)},
                        {"missing_wal", json_missing(report.missing_wal)},
                        {"lost_coverage", json_lost(report.lost)}});
  }
  Json damaged = json_damage(outcome.damaged_keys);
  for (Json& object : json_damage(outcome.unreadable_clusters)) damaged.push_back(std::move(object));
  return {{"sound", outcome.sound()},
          {"level", to_string(options.level)},
          {"sample_percent", sampled ? Json(options.sample_percent) : Json()},
          {"seed", sampled ? Json(options.seed) : Json()},
          {"clusters", std::move(clusters)},
          {"unknown_objects", outcome.foreign},
          {"damaged", std::move(damaged)}};
}

// What of the level is less than everything, and so was not looked at.
std::string text_level(const VerifyReport& report, const VerifyOptions& options) {
  const std::string rest =
      fmt::format("{} and {}", counted(report.chunks - report.chunks_read, "chunk", "chunks"),
                  counted(report.wal_segments - report.wal_segments_read, "WAL segment", "WAL segments"));
  switch (options.level) {
    case VerifyLevel::structure:
      return fmt::format("structure alone: what {} hold was not read\n", rest);
    case VerifyLevel::sample:
      return fmt::format(
          "a sample of {} % (--seed {}): {} of {} chunks and {} of {} WAL segments; what {} hold was "
          "not read\n",
          options.sample_percent, options.seed, report.chunks_read, report.chunks, report.wal_segments_read,
          report.wal_segments, rest);
    case VerifyLevel::everything:
      break;
  }
  return {};
}

std::string text_cluster(const std::string& name, const VerifyReport& report, const VerifyOptions& options) {
  std::string text;
  for (const DamagedObject& object : report.damaged) text += text_damage(object);
  for (const MissingWal& wal : report.missing_wal) text += text_missing(name, wal);
  for (const LostCoverage& lost : report.lost) text += text_lost(lost);
  text += text_foreign(report.unknown_objects);
  const bool all = options.level == VerifyLevel::everything;
  text += fmt::format("{}: {}; read {} of {} and {}\n", name,
                      !report.sound() ? "DAMAGED"
                      : all           ? "sound"
                                      : "nothing wrong with what was looked at",
                      human_size(report.bytes_read), counted(report.snapshots, "snapshot", "snapshots"),
                      counted(report.wal_segments, "WAL segment", "WAL segments"));
  const std::string level = text_level(report, options);
  return level.empty() ? text : text + name + ": " + level;
}

std::string to_text(const VerifyOutcome& outcome, const VerifyOptions& options) {
  std::string text = text_foreign(outcome.foreign);
  for (const DamagedObject& object : outcome.damaged_keys) text += text_damage(object);
  for (const DamagedObject& object : outcome.unreadable_clusters) text += text_damage(object);
  for (const auto& [name, report] : outcome.clusters) text += text_cluster(name, report, options);
  if (outcome.clusters.empty() && outcome.sound())
    text += "there is no cluster yet; the repository's keys are sound\n";
  return text;
}

Result<int> run_verify(const CommandContext& context, const VerifyFlags& flags) {
  PGS_TRY(VerifyOptions options, options_of(flags));
  PGS_TRY(const Repository repository, context.open_repository());
  auto outcome = [&] {
    ProgressMeter meter(context.console, context.clock);
    meter.begin("verifying");
    options.on_progress = [&](const VerifyProgress& progress) {
      meter.update_counted(progress.objects, progress.objects_total, progress.bytes_read);
    };
    return verify_repository(repository, flags.cluster, options, context.cancellation);
  }();
  if (!outcome.has_value()) return std::unexpected(std::move(outcome).error());
  context.print(to_json(*outcome, options), to_text(*outcome, options));
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
  auto* read_all = command->add_flag("--read-all", flags->read_all,
                                     "also what no snapshot reaches: interrupted or running work");
  auto* structure =
      command->add_flag("--structure", flags->structure, "read no content, only what says where it is");
  auto* sample = command->add_option("--sample", flags->sample, "the same, and this part of the content: 5%")
                     ->type_name("PERCENT");
  command->add_option("--seed", flags->seed, "of a sample that was printed: read the same again")
      ->type_name("N")
      ->needs(sample);
  structure->excludes(sample)->excludes(read_all);
  sample->excludes(read_all);
}

}  // namespace pgstrata
