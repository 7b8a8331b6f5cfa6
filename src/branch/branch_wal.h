// Which of a plan's WAL a branch sees in the repository, and which it is given as files. Internal to the room.
#pragma once

#include <filesystem>

#include "branch/branch_home.h"
#include "branch/wal_patch.h"
#include "restore/target_directory.h"

namespace pgstrata {

// Those that are whole objects of their own.
[[nodiscard]] Result<std::vector<RecoverySegment>> sealed_segments(const ClusterSpace& space,
                                                                   const RecoveryPlan& plan);

// Into an empty folder of its owner's.
Result<void> make_wal_folder(const BranchHome& home, const FileOwner& owner);

// What is not there yet: links to the `sealed` segments in the mount; the others, filled up with zeros from the plan's
// end on; the timeline histories. Durable: a server that recovers from a snapshot that was shut down syncs nothing of
// what it finds. Errors: not_found, damaged.
Result<void> write_branch_wal(const ClusterSpace& space, const RecoveryPlan& plan,
                              std::span<const RecoverySegment> sealed, const BranchHome& home,
                              std::span<const WalPatch> patches);

}  // namespace pgstrata
