// A rolled snapshot of a cluster now: from the WAL that is in the repository, without asking the source.
#pragma once

#include "app/registered_cluster.h"
#include "roll/roll.h"

namespace pgstrata {

// References are borrowed.
struct RollWork {
  RegisteredCluster cluster;
  std::string repository;  // its location, absolute
  std::filesystem::path state_directory;
  // Where to ask the source for one CHECKPOINT before; nothing: nowhere.
  std::optional<ConnectionUrl> checkpoint_at;
  const Clock& clock;
  const Cancellation& cancellation;
  std::function<void(RollPhase)> on_phase = {};
};

struct RollOutcome {
  // The new one; the newest there is, when there was nothing to roll to; nothing, when there is none to roll
  // from (a base backup makes one).
  std::optional<SnapshotRecord> snapshot;
  bool made = false;
};

// Under the backup lease. Errors: unavailable, when no checkpoint has come since the newest snapshot and no stream brings WAL; busy (another
// backup of the cluster runs); those of roll_snapshot; with checkpoint_at, those of connecting, and permission.
[[nodiscard]] Result<RollOutcome> roll_cluster(const RollWork& work);

}  // namespace pgstrata
