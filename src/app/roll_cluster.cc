#include "app/roll_cluster.h"

#include "pg/wire/sql_connection.h"

namespace pgstrata {
namespace {

constexpr auto arrival_limit = std::chrono::minutes(2);
constexpr auto arrival_interval = std::chrono::milliseconds(100);

// Returns the end of the checkpoint's WAL.
Result<Lsn> ask_for_checkpoint(const RollWork& work) {
  PGS_TRY(auto source, SqlConnection::connect(*work.checkpoint_at, {}, work.cancellation));
  const auto done = source.query("CHECKPOINT");
  if (!done) {
    return std::unexpected(
        Error(done.error())
            .with_hint("A role needs to be superuser for CHECKPOINT, or from PostgreSQL 15 on to have "
                       "been granted pg_checkpoint. Without --checkpoint the next one is waited for."));
  }
  PGS_TRY(const auto end, source.query_value("SELECT pg_current_wal_flush_lsn()"));
  return parse_lsn(end);
}

Error nothing_comes(const RollWork& work, Lsn wal_end) {
  return make_error(ErrorCode::unavailable,
                    "no checkpoint has come since the newest snapshot: the WAL here ends at {}, and no "
                    "stream brings more",
                    wal_end)
      .with_hint(fmt::format(
          "Keep `pgstrata stream {0}` running, or take a snapshot from the source, with `pgstrata "
          "backup {0} --base`.",
          work.cluster.space.name()));
}

Error comes_too_slowly(const RollWork& work, Lsn wal_end, Lsn asked) {
  return make_error(ErrorCode::unavailable, "the stream has not brought the WAL up to {} yet: it ends at {}",
                    asked, wal_end)
      .with_hint(fmt::format("`pgstrata status {}` says how far behind it is. Try again.",
                             work.cluster.space.name()));
}

// As soon as the stream has brought that much.
Result<std::optional<RollTarget>> wait_for_target(const RollWork& work, Lsn asked) {
  const auto deadline = work.clock.steady() + arrival_limit;
  while (true) {
    PGS_TRY(auto target, find_roll_target(work.cluster.space, work.cluster.record, work.cancellation));
    if (!target || !asked.valid() || target->wal_end >= asked) return target;
    PGS_TRY(const auto stream, lease_holder(work.cluster.space, stream_lease_name));
    if (!stream) return std::unexpected(nothing_comes(work, target->wal_end));
    if (work.clock.steady() >= deadline)
      return std::unexpected(comes_too_slowly(work, target->wal_end, asked));
    work.cancellation.wait_for(arrival_interval);
    PGS_CHECK(work.cancellation.check());
  }
}

}  // namespace

Result<RollOutcome> roll_cluster(const RollWork& work) {
  PGS_TRY(const auto lease, acquire_to_write(work.cluster.space, backup_lease_name, backup_lease_name,
                                             work.clock, {.cancellation = &work.cancellation}));
  Lsn asked;
  if (work.checkpoint_at) {
    PGS_TRY(asked, ask_for_checkpoint(work));
  }
  PGS_TRY(const auto target, wait_for_target(work, asked));
  if (!target) return RollOutcome{};
  if (!target->checkpoint) {
    PGS_TRY(const auto stream, lease_holder(work.cluster.space, stream_lease_name));
    if (!stream) return std::unexpected(nothing_comes(work, target->wal_end));
    return RollOutcome{.snapshot = target->from, .made = false};
  }
  const RollRequest request{.space = work.cluster.space,
                            .cluster = work.cluster.record,
                            .repository = work.repository,
                            .state_directory = work.state_directory,
                            .clock = work.clock,
                            .cancellation = work.cancellation,
                            .on_phase = work.on_phase,
                            .may_publish = [&] { return lease.check(); }};
  PGS_TRY(auto snapshot, roll_snapshot(request, *target));
  return RollOutcome{.snapshot = std::move(snapshot), .made = true};
}

}  // namespace pgstrata
