// What the WAL between a base backup's start and end says about it. Internal to this room.
#pragma once

#include <span>

#include "capture/base_backup.h"

namespace pgstrata {

struct BackupWal {
  Timestamp consistent_time;       // no earlier moment can be restored
  std::vector<BadPage> bad_pages;  // the suspects that no page image in the WAL restores
};

// Reads [start_lsn, consistent_lsn) out of the repository. Errors: not_found (not all of it is there),
// damaged.
Result<BackupWal> examine_backup_wal(const ClusterSpace& space, const SnapshotRecord& record,
                                     std::span<const SuspectPage> suspects);

}  // namespace pgstrata
