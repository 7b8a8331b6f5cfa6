#include "app/backup_cluster.h"

#include "capture/source_timeline.h"

namespace pgstrata {
namespace {

// Waits for WAL up to the backup's end.
using WaitForWal = std::function<Result<void>(TimelineId timeline, Lsn lsn)>;

Result<SnapshotRecord> take_snapshot(const SourceWork& work, ReplicationConnection connection,
                                     const Lease& lease, const BackupObserver& observer,
                                     const WaitForWal& wait_for_wal) {
  const auto enter = [&](BackupPhase phase) {
    if (observer.on_phase) observer.on_phase(phase);
  };
  const BaseBackupRequest request{
      .space = work.cluster.space,
      .cluster = work.cluster.record,
      .clock = work.clock,
      .cancellation = work.cancellation,
      .on_phase =
          [&](BaseBackupPhase phase) {
            enter(phase == BaseBackupPhase::checkpoint ? BackupPhase::checkpoint : BackupPhase::receiving);
          },
      .on_progress = observer.on_progress,
      .may_publish = [&lease] { return lease.check(); }};
  PGS_TRY(UnpublishedBackup backup, receive_base_backup(connection, request));
  enter(BackupPhase::completing);
  PGS_CHECK(wait_for_wal(backup.record.timeline, backup.record.consistent_lsn));
  return publish_base_backup(request, std::move(backup));
}

Result<ReplicationConnection> connect(const SourceWork& work) {
  return ReplicationConnection::connect(work.url, {}, work.cancellation);
}

// Its WAL would never come: the stream is on another timeline, or would not follow the server.
Result<void> check_timeline_followed(const SourceWork& work, ReplicationConnection& connection) {
  PGS_TRY(const SystemIdentity server, connection.identify_system());
  const ClusterRecord& record = work.cluster.record;
  if (server.system != record.system_identifier) return {};  // what comes next refuses it
  PGS_TRY(const auto ours,
          check_timeline_not_left(work.cluster.space, record.wal_segment_bytes, server.timeline));
  if (!ours || *ours == server.timeline || work.standing != SourceStanding::unproven) return {};
  return std::unexpected(timeline_unproven(work.cluster.space.name(), server.timeline, *ours));
}

Result<Lease> take_backup_lease(const SourceWork& work) {
  return acquire_to_write(work.cluster.space, backup_lease_name, backup_lease_name, work.clock,
                          {.cancellation = &work.cancellation});
}

}  // namespace

Result<BackupOutcome> backup_cluster(const SourceWork& work, const BackupObserver& observer) {
  if (observer.on_phase) observer.on_phase(BackupPhase::starting);
  PGS_TRY(const Lease lease, take_backup_lease(work));
  warn_where_one_must_write(work.cluster.space.store());
  // First: a stream would wait for a source that is away, a backup is to say so.
  PGS_TRY(ReplicationConnection connection, connect(work));
  const bool declared = work.standing == SourceStanding::declared;
  if (!declared) PGS_CHECK(check_timeline_followed(work, connection));
  PGS_TRY(WalArrival wal, WalArrival::start(work));
  // A stream elsewhere has not heard of it.
  if (declared && !wal.own_stream()) PGS_CHECK(check_timeline_followed(work, connection));
  const auto wait_for_wal = [&wal](TimelineId timeline, Lsn lsn) {
    return wal.wait_until_durable(timeline, lsn);
  };
  PGS_TRY(SnapshotRecord snapshot, take_snapshot(work, std::move(connection), lease, observer, wait_for_wal));
  return BackupOutcome{.snapshot = std::move(snapshot), .own_stream = wal.own_stream()};
}

Result<SnapshotRecord> backup_beside_stream(const SourceWork& work, StreamProgress& stream) {
  PGS_TRY(const Lease lease, take_backup_lease(work));
  // Publishing reads it on the backup's timeline, whichever the stream is on by then.
  const auto wait_for_wal = [&](TimelineId, Lsn lsn) {
    return stream.wait_until_durable(lsn, work.cancellation);
  };
  PGS_TRY(ReplicationConnection connection, connect(work));
  return take_snapshot(work, std::move(connection), lease, {}, wait_for_wal);
}

}  // namespace pgstrata
