#include <memory>

#include "app/restore_target.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/progress_meter.h"
#include "cli/restore_flags.h"
#include "cli/shapes.h"

namespace pgstrata {
namespace {

constexpr const char* restore_details =
    R"(Writes the cluster as it was into a directory of its own: into an empty one, or with --delta over an
existing one, of which only what differs is rewritten, and what the snapshot does not have is removed.
Without a target: the latest moment, damage done since included. A target that cannot be restored is
refused before anything is written, and the nearest moments that can be are named. Start the server on
the directory, or let --start do it: PostgreSQL recovers by itself.

pgstrata prints times in UTC and takes --at without a zone as local time: paste them with their "UTC".
--delta over the live directory needs its server stopped, and what is in it now is gone afterwards:
restore into a new directory first, and look.

Examples:
  pgstrata restore app --to /srv/restored --at "2026-11-21 14:03:59 UTC" --start
  pgstrata restore app --to /srv/restored --xid 734561 --exclusive    # just before that transaction
  pgstrata restore app --to /var/lib/postgresql/15/main --delta --at "10 minutes ago"

Exit codes: 0 restored, 1 failed or stopped, 2 also a directory of another cluster, 3 also no
PostgreSQL of that major to start, 4 the target cannot be restored, 6 restored, but the newest WAL is
damaged and left out, 7 another restore or a server uses the directory.)";

constexpr fmt::string_view paused_note =
    "started as process {}, open for reads; recovery has paused at the target: {}\n"
    "next: look, and let it open for writes with SELECT pg_wal_replay_resume(), or stop it (`pg_ctl -D {} "
    "stop`) "
    "and\n"
    "restore to another target\n";

// What `--start` does itself, but for a recovery that has paused.
constexpr const char* after_recovery =
    "once it is open, remove what only recovery needed: restore_command, recovery_..., "
    "archive_cleanup_command\n"
    "and hot_standby in postgresql.auto.conf (ALTER SYSTEM RESET), and the folder pg_wal/pgstrata, which "
    "holds\n"
    "keys to its WAL\n";
constexpr const char* standbys_note =
    "synchronous_standby_names is empty and archive_mode off in postgresql.auto.conf, whatever "
    "postgresql.conf says,\n"
    "unless --set has them: no commit waits for standbys that this copy lacks, and nothing is written into "
    "the\n"
    "archive of the cluster it came from (ALTER SYSTEM RESET undoes it)\n";

constexpr fmt::string_view configuration_note =
    "wrote {}: the source keeps its own elsewhere, where no backup sees it. Only local users come in,\n"
    "each by the name of its account (peer): before applications connect, bring your own or add rules and\n"
    "listen_addresses\n";

constexpr fmt::string_view started_note =
    "next: it runs outside systemd, with settings of this start on its command line (-c ...). To run it the "
    "usual\n"
    "way: `pg_ctl -D {} stop`, then start it as ever (`pg_ctl restart` would keep that command line)\n";

Json plan_json(const RecoveryPlan& plan) {
  return {{"target", describe(plan.target)},
          {"timeline", plan.timeline.value},
          {"snapshot", plan.snapshot.id},
          {"end_lsn", json_lsn(plan.expected_end_lsn)},
          {"last_commit", json_time(plan.last_commit)},
          {"wal_segments", plan.segments.size()},
          {"cut_short", plan.cut_short},
          {"warnings", plan.warnings}};
}

Json files_json(const RestoredFiles& files) {
  return {{"files", files.files},
          {"total_bytes", files.total_bytes},
          {"written_bytes", files.written_bytes},
          {"reused_bytes", files.reused_bytes},
          {"owner", files.owner.name}};
}

std::string shown_url(const StartedCluster& started) {
  return started.url ? started.url->without_password().text() : "see its log";
}

Json to_json(const RestoreFlags& flags, const RestoreOutcome& outcome) {
  Json json{{"cluster", flags.cluster},
            {"directory", flags.directory},
            {"plan", plan_json(outcome.plan)},
            {"restored", files_json(outcome.restored.files)},
            {"written_configuration", outcome.restored.written_configuration},
            {"started", Json()},
            {"start_error", Json()}};
  if (outcome.start_error) json["start_error"] = outcome.start_error->describe();
  if (outcome.started) {
    json["started"] = {{"process_id", outcome.started->process},
                       {"paused", outcome.started->paused},
                       {"timeline", outcome.started->timeline.value},
                       {"recovered_to", json_lsn(outcome.started->recovered_to)},
                       {"url", outcome.started->url ? Json(shown_url(*outcome.started)) : Json()},
                       {"log_file", outcome.started->log_file.string()},
                       {"warnings", outcome.started->warnings}};
  }
  return json;
}

std::string to_text(const RestoreFlags& flags, const RestoreOutcome& outcome) {
  const RecoveryPlan& plan = outcome.plan;
  const RestoredFiles& files = outcome.restored.files;
  std::string text =
      fmt::format("restored {} to {}{} into {}\n", flags.cluster, describe(plan.target),
                  plan.cut_short ? " before WAL that is damaged or missing" : "", flags.directory);
  text += fmt::format("from snapshot {}: {}, {} written", plan.snapshot.id, human_size(files.total_bytes),
                      human_size(files.written_bytes));
  if (files.reused_bytes > 0) text += fmt::format(", {} found in place", human_size(files.reused_bytes));
  text += "\n";
  if (plan.last_commit.valid()) text += fmt::format("last commit at {}\n", human_time(plan.last_commit));
  if (const auto& written = outcome.restored.written_configuration; !written.empty())
    text += fmt::format(configuration_note, fmt::join(written, ", "));
  if (outcome.start_error) return text + "its files are complete\n" + after_recovery + standbys_note;
  if (!outcome.started) {
    text += fmt::format("start PostgreSQL {} on it as {}: recovery runs by itself\n",
                        plan.snapshot.server_version / 10000, files.owner.name);
    return text + after_recovery + standbys_note;
  }
  if (outcome.started->paused) {
    text += fmt::format(paused_note, outcome.started->process, shown_url(*outcome.started), flags.directory);
    return text + after_recovery + standbys_note;
  }
  text += standbys_note;
  text += fmt::format("started as process {}, open for writes on timeline {}: {}\n", outcome.started->process,
                      outcome.started->timeline, shown_url(*outcome.started));
  return text + fmt::format(started_note, flags.directory);
}

// Of what comes before the files are complete.
Error explain_restore(Error error) {
  if (error.code() != ErrorCode::cancelled) return error;
  return make_error(ErrorCode::cancelled, "stopped on request; the restore is not complete")
      .with_hint("The same command goes on where it was.");
}

Result<RestoreOutcome> run_restore(const CommandContext& context, const Repository& repository,
                                   RestoreRequest request) {
  ProgressMeter meter(context.console, context.clock);
  request.on_plan = [&](const RecoveryPlan& plan) {
    for (const std::string& warning : plan.warnings) log_warning("{}", warning);
    meter.begin("restoring");
  };
  request.on_progress = [&](const RestoreProgress& progress) {
    meter.update(progress.bytes_done, progress.bytes_total);
  };
  bool recovering = false;
  Lsn recovery_start{};
  request.on_start_progress = [&](const StartProgress& progress) {
    if (!recovering && progress.replaying.valid()) {
      recovering = true;
      recovery_start = progress.replaying;
      meter.begin("recovering");
    }
    if (recovering && progress.end > recovery_start) {
      meter.update(progress.replaying - recovery_start, progress.end - recovery_start);
    }
  };
  return restore_target(repository, request, context.cancellation);
}

Result<int> run_restore(const CommandContext& context, const RestoreFlags& flags) {
  PGS_TRY(RestoreRequest request, restore_request(flags, context.clock));
  PGS_TRY(const Repository repository, context.open_repository());
  request.repository_location = repository.store().describe();
  auto outcome = run_restore(context, repository, std::move(request));
  if (!outcome.has_value()) return std::unexpected(explain_restore(std::move(outcome).error()));
  for (const std::string& warning : outcome->restored.files.warnings) log_warning("{}", warning);
  if (outcome->started) {
    for (const std::string& warning : outcome->started->warnings) log_warning("{}", warning);
  }
  context.print(to_json(flags, *outcome), to_text(flags, *outcome));
  if (outcome->start_error) return std::unexpected(*outcome->start_error);
  return outcome->plan.cut_short ? exit_code(ErrorCode::check_failed) : 0;
}

}  // namespace

void add_restore_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<RestoreFlags>();  // shared with the action, which outlives this call
  CLI::App* command = add_command(
      program, invocation,
      {.name = "restore", .summary = "a cluster as it was, at any moment", .details = restore_details},
      [flags](const CommandContext& context) { return run_restore(context, *flags); });
  add_restore_flags(*command, *flags);
}

}  // namespace pgstrata
