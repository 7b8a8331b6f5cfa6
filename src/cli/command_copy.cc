#include <memory>

#include "app/copy_repository.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/progress_meter.h"

namespace pgstrata {
namespace {

constexpr const char* copy_details =
    R"(Copies what the repository holds into another one, which is made when it is not there: a folder or a bucket, with a
key of its own. What is there already is not copied again: the same command goes on where it stopped, and later brings
the copy up to date. Everything is authenticated on its way; what is damaged is left out and named. Nothing is removed
from the copy. Restores, branches and verify work on the copy by naming it with --repo.

Without a key for the copy, that of the repository is used, where one was given.

Examples:
  pgstrata copy --to s3://bucket/pgstrata --to-key-file ~/elsewhere.key
  pgstrata copy app --to /mnt/disk2/backup
  pgstrata copy --repo s3://bucket/pgstrata --to /srv/local

Exit codes: 0 copied, 1 failed or stopped (the same command goes on), 5 something is damaged and was left out, 7 another
copy into it is under way.)";

struct CopyFlags {
  std::vector<std::string> clusters;
  std::string to;
  std::optional<std::string> key_file;
  std::optional<std::string> passphrase_env;
  bool no_encryption = false;
};

Result<KeyChoice> key_of_copy(const CommandContext& context, const CopyFlags& flags) {
  if (flags.key_file) return KeyChoice{.key_file = *flags.key_file};
  if (flags.no_encryption) return KeyChoice{.no_encryption = true};
  if (!flags.passphrase_env) return context.settings.key;
  auto passphrase = process_environment(*flags.passphrase_env);
  if (passphrase) return KeyChoice{.passphrase = std::move(passphrase)};
  return fail(ErrorCode::usage, "the variable {} holds no passphrase", *flags.passphrase_env);
}

Json to_json(const CopyOutcome& outcome) {
  Json clusters = Json::array();
  for (const auto& [name, report] : outcome.clusters) {
    Json left_out = Json::array();
    for (const auto& object : report.left_out)
      left_out.push_back({{"name", object.name}, {"what", object.what}});
    clusters.push_back({{"name", name},
                        {"objects", report.objects},
                        {"bytes", report.bytes},
                        {"objects_there", report.objects_there},
                        {"snapshots", report.snapshots},
                        {"left_out", std::move(left_out)}});
  }
  return {{"to", outcome.to},
          {"made", outcome.made},
          {"key_file", outcome.key_file ? Json(outcome.key_file->string()) : Json()},
          {"whole", outcome.whole()},
          {"clusters", std::move(clusters)}};
}

std::string to_text(const CopyOutcome& outcome) {
  std::string text;
  if (outcome.made) text += fmt::format("made the repository {}\n", outcome.to);
  if (outcome.key_file) text += fmt::format("made the key file {}\n", outcome.key_file->string());
  for (const auto& [name, report] : outcome.clusters) {
    for (const auto& object : report.left_out)
      text += fmt::format("LEFT OUT {}: {}\n", object.name, object.what);
    text += fmt::format("{}: copied {} ({}), {} there before; {} in the copy\n", name,
                        counted(report.objects, "object", "objects"), human_size(report.bytes),
                        report.objects_there, counted(report.snapshots, "snapshot", "snapshots"));
  }
  if (outcome.clusters.empty()) text += "there is no cluster to copy\n";
  return text;
}

Result<int> run_copy(const CommandContext& context, const CopyFlags& flags) {
  CopyRequest request{.clusters = flags.clusters, .to = {.location = flags.to, .key = {}}};
  PGS_TRY(request.to.key, key_of_copy(context, flags));
  request.to.cancellation = &context.cancellation;
  PGS_TRY(const Repository repository, context.open_repository());
  auto outcome = [&] {
    ProgressMeter meter(context.console, context.clock);
    std::string copying;
    request.on_progress = [&](const std::string& cluster, const CopyProgress& progress) {
      if (copying != cluster) meter.begin("copying " + (copying = cluster));
      meter.update_counted(progress.objects, progress.objects_total, progress.bytes);
    };
    return copy_repository(repository, request, context.clock, context.cancellation);
  }();
  if (!outcome.has_value()) return std::unexpected(std::move(outcome).error());
  context.print(to_json(*outcome), to_text(*outcome));
  if (outcome->key_file) {
    context.console.say("");
    context.console.say(
        "KEEP A COPY OF THE KEY FILE AWAY FROM THIS MACHINE, for example in a password manager.");
    context.console.say("Without it nobody, you included, can restore anything from the copy.");
  }
  return outcome->whole() ? 0 : exit_code(ErrorCode::damaged);
}

}  // namespace

void add_copy_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<CopyFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(program, invocation,
                  {.name = "copy",
                   .summary = "copy the repository into another one, or bring that up to date",
                   .details = copy_details},
                  [flags](const CommandContext& context) { return run_copy(context, *flags); });
  command->add_option("CLUSTER", flags->clusters, "one or more clusters; all of them without it");
  command->add_option("--to", flags->to, "where the copy is: a folder or s3://bucket/prefix?...")
      ->required()
      ->type_name("URL");
  auto* file =
      command->add_option("--to-key-file", flags->key_file, "the copy's key; made when it does not exist")
          ->type_name("FILE");
  auto* passphrase = command
                         ->add_option("--to-passphrase-env", flags->passphrase_env,
                                      "the variable with the copy's passphrase")
                         ->type_name("VARIABLE");
  auto* none =
      command->add_flag("--to-no-encryption", flags->no_encryption, "leave the copy readable by anybody");
  file->excludes(passphrase)->excludes(none);
  passphrase->excludes(none);
}

}  // namespace pgstrata
