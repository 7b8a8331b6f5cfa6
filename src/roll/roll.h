// A new snapshot from WAL alone: the newest snapshot, opened as a hidden branch in recovery, fed with WAL up
// to a checkpoint, stopped, and stored as exactly what its overlay holds.
//
// PostgreSQL itself recovers, so a rolled snapshot is one that a PostgreSQL has opened. It stops just past a
// checkpoint of the source and makes a restartpoint there, from which any later moment can be recovered. A
// crash leaves nothing visible: the snapshot's record comes last, and what was left on this machine is taken
// away by the next roll.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/cancellation.h"
#include "catalog/cluster_record.h"
#include "catalog/replay_meter.h"
#include "catalog/snapshot_record.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

// Where a roll would begin and end.
struct RollTarget {
  SnapshotRecord from;  // the newest snapshot that the WAL follows without a gap
  std::optional<CheckpointDebt>
      checkpoint;                     // the last one after it; nothing: there is nothing to roll to yet
  Lsn wal_end;                        // how far the WAL is here
  std::chrono::microseconds debt{0};  // the estimated time to replay from the snapshot to there
};
// Nothing, when no snapshot is there that the newest WAL follows. Errors: damaged; cancelled; those of the store.
[[nodiscard]] Result<std::optional<RollTarget>> find_roll_target(const ClusterSpace& space,
                                                                 const ClusterRecord& cluster,
                                                                 const Cancellation& cancellation);

enum class RollPhase { recovering, storing };

struct RollRequest {
  ClusterSpace space;
  ClusterRecord cluster;
  std::string repository;  // its location, absolute
  std::filesystem::path state_directory;
  const Clock& clock;
  const Cancellation& cancellation;
  unsigned workers = 0;  // 0: one for each core
  std::function<void(RollPhase)> on_phase = {};
  // Asked before the snapshot becomes visible.
  std::function<Result<void>()> may_publish = {};
};

// `target` has a checkpoint. Errors: unsupported (no FUSE; a tablespace was made since the snapshot);
// not_found (no PostgreSQL of that major); failed, with the server's last words, when recovery does not get
// there; damaged; cancelled; no_space; those of `may_publish`.
[[nodiscard]] Result<SnapshotRecord> roll_snapshot(const RollRequest& request, const RollTarget& target);

}  // namespace pgstrata
