// `backup`: a snapshot of a cluster now.
#pragma once

#include <functional>

#include "app/wal_arrival.h"
#include "capture/base_backup.h"

namespace pgstrata {

enum class BackupPhase {
  starting,    // connecting, reading what is stored already
  checkpoint,  // waiting for the source's
  receiving,   // progress is reported
  completing,  // waiting for the WAL that makes it consistent, then publishing
};

// Called from one thread at a time; must return soon.
struct BackupObserver {
  std::function<void(BackupPhase)> on_phase = {};
  std::function<void(const BaseBackupProgress&)> on_progress = {};
};

struct BackupOutcome {
  SnapshotRecord snapshot;
  bool own_stream = false;  // no stream ran: the backup brought the WAL it needs
};

// Under the backup lease. A snapshot with bad pages is kept and marked: look at its bad_page_count. Errors:
// busy (another backup of the cluster runs; or the slot is taken), cancelled (what was stored is found again
// by the next run), failed (before anything is read: the server is on a timeline that the cluster has left,
// or an unproven one on another), those of receive_base_backup, WalReceiver::run and publish_base_backup.
[[nodiscard]] Result<BackupOutcome> backup_cluster(const SourceWork& work, const BackupObserver& observer);

// The same with WAL that a stream of this process brings, and under a backup lease taken for it.
[[nodiscard]] Result<SnapshotRecord> backup_beside_stream(const SourceWork& work, StreamProgress& stream);

}  // namespace pgstrata
