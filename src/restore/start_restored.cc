#include "restore/start_restored.h"

#include "pg/format/timeline_history.h"
#include "pg/format/wal_name.h"
#include "pg/format/wal_page.h"
#include "restore/recovery_kit.h"
#include "restore/recovery_settings.h"
#include "restore/wal_spool.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view log_name = "pgstrata_restore.log";
constexpr std::size_t log_limit_bytes = 64U << 20;
constexpr auto progress_interval = std::chrono::milliseconds(250);
constexpr auto stop_limit = std::chrono::seconds(60);

// PostgreSQL's own refusals to open a cluster short of its target.
Error explain(Error error) {
  const auto& text = error.message();
  const bool short_of_target =
      text.find("recovery ended before configured recovery target was reached") != std::string::npos ||
      text.find("requested recovery stop point is before consistent recovery point") != std::string::npos ||
      text.find("WAL ends before") != std::string::npos;
  if (!short_of_target && error.code() == ErrorCode::failed) {
    auto hint =
        error.hint() + " The files are complete: put right what it says, and start PostgreSQL on them.";
    return std::move(error).with_hint(std::move(hint));
  }
  if (!short_of_target) return error;
  return Error(ErrorCode::outside_coverage, text)
      .with_hint(
          "The repository's WAL does not lead to the target, against what its indexes say: run `pgstrata "
          "verify`, and report this.");
}

void tell_progress(const RecoveryPlan& plan, const StartRestoredOptions& options) {
  if (!options.on_progress) return;
  const auto spool = WalSpool::open(options.data_directory / kit_file);
  const auto position = spool ? spool->position() : Result<std::optional<std::size_t>>(std::nullopt);
  if (!position || !*position || **position >= plan.segments.size()) return;
  options.on_progress({plan.segments[**position].start, plan.end_lsn});
}

// In its log, as anything else would need a role that may connect.
bool has_paused(ServerInstance& server) {
  const auto phase = server.phase();
  if (!phase || *phase != ServerPhase::accepts_reads) return false;
  const auto log = read_file(server.data_directory() / log_name, log_limit_bytes);
  return log && as_text(*log).find("pausing at the end of recovery") != std::string_view::npos;
}

// What it accepts then: reads alone when recovery has paused.
Result<ServerPhase> wait_until_open(ServerInstance& server, const RecoveryPlan& plan,
                                    const StartRestoredOptions& options, const Cancellation& cancellation) {
  const auto deadline = system_clock().steady() + options.limit;
  while (true) {
    auto waited = server.wait_for_phase(ServerPhase::accepts_writes, progress_interval, cancellation);
    if (waited) return ServerPhase::accepts_writes;
    const bool goes_on = waited.error().code() == ErrorCode::unavailable;
    if (goes_on && options.pauses && has_paused(server)) return ServerPhase::accepts_reads;
    if (!goes_on || system_clock().steady() >= deadline) {
      return std::unexpected(explain(std::move(waited).error()));
    }
    tell_progress(plan, options);
  }
}

Result<TargetDirectory> open_directory(const fs::path& data_directory) {
  PGS_TRY(auto owner, choose_owner(data_directory));
  return TargetDirectory::open(data_directory, std::move(owner));
}

// A new one: whatever its name leads to may have been put there by whoever owns the directory.
Result<FileDescriptor> open_log(const fs::path& data_directory) {
  PGS_TRY(const auto data, open_directory(data_directory));
  PGS_CHECK(data.remove(log_name));
  return data.open_file(log_name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
}

Result<ServerInstance> start_server(const ServerInstallation& installation,
                                    const StartRestoredOptions& options) {
  PGS_TRY(const auto log, open_log(options.data_directory));
  ServerOptions server_options;
  server_options.data_directory = options.data_directory;
  server_options.log_file = options.data_directory / log_name;
  server_options.opened_log = &log;
  server_options.settings = options.settings;
  server_options.settings.emplace_back("logging_collector", "off");
  server_options.settings.emplace_back("log_destination", "stderr");
  // Less than that would not say that it has paused.
  if (options.pauses) server_options.settings.emplace_back("log_min_messages", "warning");
  return ServerInstance::start(installation, server_options);
}

Error still_recovering(ErrorCode why, const ServerInstance& server) {
  const auto log = (server.data_directory() / log_name).native();
  return make_error(why, "{}; the files are complete, and PostgreSQL goes on recovering as process {}",
                    why == ErrorCode::cancelled ? "stopped waiting on request" : "the time to wait is over",
                    server.pid())
      .with_hint(
          fmt::format("It opens by itself when recovery has ended: see \"{}\". To end it instead: kill "
                      "-INT {}",
                      log, server.pid()));
}

// Of a server that was stopped because nobody knows what it holds.
Error ended_elsewhere(const RecoveryPlan& plan, const Result<TimelineStart>& start) {
  if (start) {
    return make_error(ErrorCode::failed, "recovery ended at {}, and the plan says {}; the server was stopped",
                      start->start, plan.expected_end_lsn);
  }
  return make_error(start.error().code(),
                    "it cannot be told where recovery ended: {}; the server was stopped",
                    start.error().message());
}

Result<void> forget_recovery(const fs::path& data_directory) {
  PGS_TRY(const auto data, open_directory(data_directory));
  PGS_CHECK(end_recovery_settings(data));
  return remove_recovery_kit(data);
}

}  // namespace

Result<TimelineStart> newest_timeline_start(const fs::path& data_directory) {
  const auto folder = data_directory / "pg_wal";
  PGS_TRY(const auto entries, list_directory(folder));
  TimelineId newest;
  for (const auto& entry : entries)
    newest = std::max(newest, parse_timeline_history_name(entry.name).value_or(TimelineId{}));
  if (!newest.valid()) return fail(ErrorCode::not_found, "\"{}\" holds no timeline history", folder.native());
  PGS_TRY(const auto content,
          read_regular_file(folder / timeline_history_name(newest), timeline_history_limit_bytes));
  PGS_TRY(const auto history, parse_timeline_history(newest, as_text(content)));
  if (history.ancestors.empty())
    return fail(ErrorCode::damaged, "the history of timeline {} is empty", newest);
  return TimelineStart{newest, history.ancestors.back().end};
}

bool ended_as_planned(const RecoveryPlan& plan, Lsn reached) {
  return reached <= plan.expected_end_lsn &&
         plan.expected_end_lsn - reached <= wal_long_page_header_size_bytes;
}

Result<ServerInstallation> installation_for(const RecoveryPlan& plan, const fs::path& data_directory) {
  PGS_TRY(const auto owner, choose_owner(data_directory));
  if (owner.user == 0) {
    return std::unexpected(
        make_error(ErrorCode::permission, "\"{}\" would belong to root, as whom PostgreSQL refuses to run",
                   data_directory.native())
            .with_hint(
                "Make a user called postgres, make the folder as the user who shall run it, or restore "
                "as that user."));
  }
  return ServerInstallation::find(static_cast<int>(plan.snapshot.server_version / 10000));
}

Result<StartedCluster> start_restored(const RecoveryPlan& plan, const ServerInstallation& installation,
                                      const StartRestoredOptions& options, const Cancellation& cancellation) {
  if (!cancellation.check()) {
    return std::unexpected(
        make_error(ErrorCode::cancelled, "stopped on request before the server was started")
            .with_hint(
                fmt::format("The files are complete: start PostgreSQL {} on them.", installation.major())));
  }
  PGS_TRY(auto server, start_server(installation, options));
  const auto opened = wait_until_open(server, plan, options, cancellation);
  if (!opened) {
    const bool goes_on =
        opened.error().code() == ErrorCode::cancelled || opened.error().code() == ErrorCode::unavailable;
    if (!goes_on) return std::unexpected(opened.error());
    server.leave_running();
    return std::unexpected(still_recovering(opened.error().code(), server));
  }
  StartedCluster started;
  started.process = server.pid();
  started.paused = *opened == ServerPhase::accepts_reads;
  started.timeline = plan.timeline;
  started.recovered_to = plan.expected_end_lsn;
  started.last_commit = plan.last_commit;
  started.log_file = options.data_directory / log_name;
  if (!started.paused) {
    const auto start = newest_timeline_start(options.data_directory);
    if (!start || !ended_as_planned(plan, start->start)) {
      PGS_CHECK(server.stop(StopMode::fast, stop_limit));
      return std::unexpected(ended_elsewhere(plan, start));
    }
    started.timeline = start->timeline;
    started.recovered_to = start->start;
  }
  // Whatever goes wrong from here on, it serves.
  server.leave_running();
  if (auto url = server.url("postgres", "postgres")) {
    started.url = *std::move(url);
  } else {
    started.warnings.push_back(
        fmt::format("could not find out where the server listens: {}", url.error().describe()));
  }
  if (started.paused) return started;
  if (const auto forgotten = forget_recovery(options.data_directory); !forgotten) {
    started.warnings.push_back(
        fmt::format("what only recovery needed could not be removed: {}; remove it by hand: restore_command, "
                    "recovery_..., archive_cleanup_command and hot_standby in postgresql.auto.conf (ALTER "
                    "SYSTEM RESET), and the folder pg_wal/pgstrata, which holds keys to its WAL",
                    forgotten.error().describe()));
  }
  return started;
}

}  // namespace pgstrata
