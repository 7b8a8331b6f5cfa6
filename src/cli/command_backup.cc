#include <memory>

#include "app/backup_cluster.h"
#include "app/roll_cluster.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/progress_meter.h"
#include "cli/shapes.h"
#include "cli/source_flags.h"

namespace pgstrata {
namespace {

constexpr const char* backup_details =
    R"(The first one is a base snapshot: the whole data directory, read once over the replication connection,
checked, compressed and encrypted. What is stored already is not stored again. Beside a running
`stream` it relies on that for WAL; alone it brings the WAL that the snapshot needs.

Each one after that is rolled: PostgreSQL replays the WAL that is in the repository over the newest
snapshot, up to the last checkpoint in it, and the pages that changed are stored. The source is not
asked for anything, and the snapshot is one that a PostgreSQL has recovered. That takes FUSE and a
PostgreSQL of the cluster's major on this machine. --base makes a base snapshot all the same.

Interrupted, it leaves nothing half-made, and the next run finds again what was stored.

Examples:
  pgstrata backup app
  pgstrata backup app --checkpoint       # up to now, not to the source's last checkpoint
  pgstrata backup app --base --output json

Exit codes: 0 made, or nothing to make one of yet, 1 failed or stopped, 6 made, but with pages whose checksum is wrong on the source,
7 another backup of the cluster runs.)";

struct BackupFlags {
  SourceFlags source;
  bool base = false;
  bool checkpoint = false;
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

std::string roll_text(const RollOutcome& outcome, const std::string& cluster) {
  if (outcome.made) return to_text(*outcome.snapshot);
  return fmt::format(
      "nothing to do: the source has made no checkpoint since snapshot {}\n"
      "next: wait for it, or `pgstrata backup {} --checkpoint`\n",
      outcome.snapshot->id, cluster);
}

// Nothing, when there is no snapshot to roll from.
Result<std::optional<RollOutcome>> try_to_roll(const CommandContext& context, const Repository& repository,
                                               const BackupFlags& flags) {
  PGS_TRY(auto cluster, open_registered_cluster(repository, flags.source.cluster));
  ProgressMeter meter(context.console, context.clock);
  RollWork work{.cluster = std::move(cluster),
                .repository = repository.store().describe(),
                .state_directory = context.settings.state_directory,
                .checkpoint_at = {},
                .clock = context.clock,
                .cancellation = context.cancellation,
                .on_phase = [&](RollPhase phase) {
                  meter.begin(phase == RollPhase::recovering ? "recovering" : "storing what changed");
                }};
  if (flags.checkpoint) {
    PGS_TRY(work.checkpoint_at, source_url(work.cluster.record, flags.source.url));
  }
  PGS_TRY(auto outcome, roll_cluster(work));
  if (!outcome.snapshot) return std::nullopt;
  return outcome;
}

Result<int> run_backup(const CommandContext& context, const BackupFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  if (!flags.base) {
    auto rolled = try_to_roll(context, repository, flags);
    if (!rolled) return std::unexpected(explain_backup(std::move(rolled).error()));
    if (*rolled) {
      context.print({{"cluster", flags.source.cluster},
                     {"snapshot", json_snapshot(*(*rolled)->snapshot)},
                     {"made", (*rolled)->made}},
                    roll_text(**rolled, flags.source.cluster));
      return 0;
    }
  }
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
                 {"made", true},
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
  command->add_flag("--base", flags->base, "read the source again, as the first one did");
  command->add_flag("--checkpoint", flags->checkpoint, "ask the source for a checkpoint before");
}

}  // namespace pgstrata
