// Which of a plan's WAL a branch sees in the repository, and which it is given as files. Internal to the room.
#pragma once

#include <filesystem>

#include "branch/wal_patch.h"

namespace pgstrata {

// Those that are whole objects of their own.
[[nodiscard]] Result<std::vector<RecoverySegment>> sealed_segments(const ClusterSpace& space,
                                                                   const RecoveryPlan& plan);

// The others, filled up with zeros from the plan's end on, and the timeline histories; durable: a server that
// recovers from a snapshot that was shut down syncs nothing of what it finds. Errors: not_found,
// damaged.
Result<void> write_branch_wal(const ClusterSpace& space, const RecoveryPlan& plan,
                              const std::filesystem::path& pg_wal, std::span<const WalPatch> patches = {});

// What the files in a folder and below take on the disk.
[[nodiscard]] Result<std::uint64_t> allocated_bytes(const std::filesystem::path& folder);

}  // namespace pgstrata
