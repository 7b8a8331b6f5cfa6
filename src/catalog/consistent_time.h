// From which moment on a snapshot can be restored, by the WAL around its consistent LSN.
#pragma once

#include "base/cancellation.h"
#include "catalog/snapshot_record.h"
#include "pg/format/wal_reader.h"

namespace pgstrata {

// No earlier moment can be restored: the last transaction's end before the snapshot's consistent LSN, where the
// WAL that is here shows it; else a second after the starting checkpoint's time, which is cut to whole seconds.
//
// Reads the WAL up to consistent_lsn, from the beginning of start_lsn's segment if that is there, out of the
// repository; `also` (may be null) is handed each of its records. Errors: not_found (not all of it is there),
// damaged, cancelled; those of `also`.
Result<Timestamp> find_consistent_time(const ClusterSpace& space, const SnapshotRecord& record,
                                       WalRecordHandler* also, const Cancellation& cancellation);

}  // namespace pgstrata
