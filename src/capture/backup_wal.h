// What the WAL between a base backup's start and end says about it. Internal to this room.
#pragma once

#include <span>

#include "capture/base_backup.h"

namespace pgstrata {

struct BackupWal {
  // No earlier moment can be restored: the last transaction's end before the backup's, where the WAL that is
  // here shows it; else a second after the starting checkpoint's time, which is cut to whole seconds.
  Timestamp consistent_time;
  std::vector<BadPage> bad_pages;  // the suspects that no page image in the WAL restores
};

// Reads the WAL up to consistent_lsn, from the beginning of start_lsn's segment if that is there, out of the
// repository. Errors: not_found (not all of it is there), damaged, cancelled.
Result<BackupWal> examine_backup_wal(const ClusterSpace& space, const SnapshotRecord& record,
                                     std::span<const SuspectPage> suspects, const Cancellation& cancellation);

}  // namespace pgstrata
