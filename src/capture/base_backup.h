// A base backup: the data directory over the replication protocol into a snapshot.
//
// The tar stream is parsed as it arrives, cut into extents, checked (page checksums, the server's manifest),
// compressed, encrypted and packed by one worker per core. Memory is bounded: some 40 MiB, the chunk index,
// and about 350 bytes a file. Extents of zeros, extents equal to the last snapshot's at the same place, and
// content stored before (also by a run that was interrupted) are not stored again.
//
// It comes in two steps, because a snapshot is nothing without the WAL that makes it consistent:
// receive_base_backup stores everything, the caller sees to it that WAL up to `consistent_lsn` is durable in
// the repository, and publish_base_backup reads that WAL and makes the snapshot visible. Dropping it in
// between leaves packs that the next run finds again.
#pragma once

#include <functional>
#include <vector>

#include "base/cancellation.h"
#include "catalog/cluster_record.h"
#include "catalog/snapshot_record.h"
#include "pg/format/relation_path.h"
#include "pg/wire/base_backup_source.h"
#include "repo/lease.h"

namespace pgstrata {

struct BaseBackupProgress {
  std::uint64_t received_bytes = 0;
  std::uint64_t estimated_bytes = 0;  // the server's, before it began
  std::uint64_t stored_bytes = 0;     // new in the repository
};

// What receive_base_backup waits for, once it has read what is stored already.
enum class BaseBackupPhase {
  checkpoint,  // the source answers BASE_BACKUP only after one
  receiving,   // progress is reported
};

struct BaseBackupRequest {
  ClusterSpace space;
  ClusterRecord cluster;
  const Clock& clock;
  const Cancellation& cancellation;
  unsigned workers = 0;  // 0: one per core
  // Called on the receiving thread, on_progress at most every 100 ms.
  std::function<void(BaseBackupPhase)> on_phase = {};
  std::function<void(const BaseBackupProgress&)> on_progress = {};
  PublishingAllowed may_publish = {};  // asked before the snapshot becomes visible; empty: yes
};

// A page whose checksum is wrong as it was read: bad, or torn by a write at that moment, which WAL repairs.
struct SuspectPage {
  std::string path;
  RelationFile relation;
  Fork fork = Fork::main;
  BlockNumber block;          // of the relation
  BlockNumber block_in_file;  // of the file
};

struct UnpublishedBackup {
  SnapshotRecord record;  // all but consistent_time, bad pages and finished
  std::vector<SuspectPage> suspects;
  std::uint64_t suspects_not_listed = 0;
};

// A connection as `source` must be idle; it is again afterwards. Errors: failed (system identifier is not the
// registered one; the server broke off, or sent what no PostgreSQL sends), check_failed (what was received
// differs from the manifest, or the server's answer from the backup_label), unsupported (a newer server),
// cancelled, no_space, those of the store.
Result<UnpublishedBackup> receive_base_backup(BaseBackupSource& source, const BaseBackupRequest& request);

// Reads the WAL from start to consistent LSN: sets aside the suspects it repairs, finds the earliest moment
// that can be restored, publishes. Error: not_found, when that WAL is not all there. Returns the published
// record.
Result<SnapshotRecord> publish_base_backup(const BaseBackupRequest& request, UnpublishedBackup backup);

}  // namespace pgstrata
