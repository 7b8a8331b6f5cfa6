#include <memory>

#include "app/backup_cluster.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/progress_meter.h"
#include "cli/shapes.h"
#include "cli/source_flags.h"

namespace pgstrata {
namespace {

constexpr const char* backup_details =
    R"(Makes a base snapshot: the whole data directory, read once over the replication connection, checked,
compressed and encrypted. What is stored already is not stored again. Beside a running `stream` it
relies on that for WAL; alone it brings the WAL that the snapshot needs. Interrupted, it leaves
nothing half-made, and the next run finds again what was stored.

Examples:
  pgstrata backup app
  pgstrata backup app --output json

Exit codes: 0 made, 1 failed or stopped, 6 made, but with pages whose checksum is wrong on the source,
7 another backup of the cluster runs.)";

struct BackupFlags {
  SourceFlags source;
  bool base = false;
};

std::string_view phase_name(BackupPhase phase) {
  switch (phase) {
    case BackupPhase::starting:
      return "connecting";
    case BackupPhase::checkpoint:
      return "waiting for the source's checkpoint";
    case BackupPhase::receiving:
      return "receiving";
    case BackupPhase::completing:
      break;
  }
  return "waiting for the WAL that makes it consistent";
}

std::string to_text(const SnapshotRecord& snapshot) {
  std::string text =
      fmt::format("snapshot {}: {} in {}, {} new in the repository, {}\nrestorable from {}\n", snapshot.id,
                  human_size(snapshot.total_bytes), counted(snapshot.files, "file", "files"),
                  human_size(snapshot.added_bytes), human_duration(snapshot.finished - snapshot.started),
                  human_time(snapshot.consistent_time));
  for (const BadPage& page : snapshot.bad_pages) {
    text += fmt::format("bad page: {} block {}\n", page.path, page.block);
  }
  if (snapshot.bad_page_count > snapshot.bad_pages.size()) {
    text += fmt::format("and {} more bad pages\n", snapshot.bad_page_count - snapshot.bad_pages.size());
  }
  return text;
}

Error explain_backup(Error error) {
  if (error.code() != ErrorCode::cancelled) return error;
  return make_error(ErrorCode::cancelled, "stopped on request; no snapshot was made")
      .with_hint("What was stored is found again by the next backup.");
}

Result<int> run_backup(const CommandContext& context, const BackupFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const SourceWork work, source_work(context, repository, flags.source));
  auto outcome = [&] {
    ProgressMeter meter(context.console, context.clock);
    return backup_cluster(
        work, {.on_phase = [&](BackupPhase phase) { meter.begin(std::string(phase_name(phase))); },
               .on_progress =
                   [&](const BaseBackupProgress& progress) {
                     meter.update(progress.received_bytes, progress.estimated_bytes);
                   }});
  }();
  if (!outcome.has_value()) return std::unexpected(explain_backup(std::move(outcome).error()));
  const SnapshotRecord& snapshot = outcome->snapshot;
  context.print({{"cluster", flags.source.cluster},
                 {"snapshot", json_snapshot(snapshot)},
                 {"beside_stream", !outcome->own_stream}},
                to_text(snapshot));
  if (snapshot.bad_page_count == 0) return 0;
  log_warning("the source has {} with a wrong checksum; the snapshot is kept and marked",
              counted(snapshot.bad_page_count, "page", "pages"));
  return exit_code(ErrorCode::check_failed);
}

}  // namespace

void add_backup_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<BackupFlags>();  // shared with the action, which outlives this call
  CLI::App* command = add_command(
      program, invocation, {.name = "backup", .summary = "make a snapshot now", .details = backup_details},
      [flags](const CommandContext& context) { return run_backup(context, *flags); });
  add_source_flags(*command, flags->source);
  command->add_flag("--base", flags->base, "a base snapshot, as in this version each is");
}

}  // namespace pgstrata
