// Steps that several commands on a branch take. The caller holds the branch's lock. Internal to the room.
#pragma once

#include "branch/branch.h"

namespace pgstrata {

// What a record says of a plan: snapshot, WAL, moment. Errors: those of the store; cancelled.
[[nodiscard]] Result<void> set_moment(BranchRecord& record, const ClusterSpace& space,
                                      const RecoveryPlan& plan, const Cancellation& cancellation);

// The server, whatever has become of it, and the mount.
[[nodiscard]] Result<void> stop_everything(const BranchHome& home, StopMode mode);

// Without its record it is none any more.
[[nodiscard]] Result<void> remove_branch_folder(const BranchHome& home);

// Mounts, with nothing left of an earlier server.
[[nodiscard]] Result<void> mount_branch(const ClusterSpace& space, const BranchHome& home,
                                        const BranchRecord& record);

// Makes the branch what its record says, from nothing: what was in the overlay goes. Until it has succeeded
// the record on the disk must say that the branch is not recovered; it says so then, and that it runs.
[[nodiscard]] Result<void> open_at_moment(const ClusterSpace& space, const BranchHome& home,
                                          BranchRecord& record, const ServerInstallation& installation,
                                          const ComputeOptions& options, const Cancellation& cancellation);

// Starts the server on what is mounted, learns what it is to be known by, and notes that it runs.
[[nodiscard]] Result<void> open_again(const BranchHome& home, BranchRecord& record,
                                      const ServerInstallation& installation, const ComputeOptions& options,
                                      const Cancellation& cancellation);

// The WAL that the record names, the mount does not show from the repository, and is not there yet: segments
// that end at `from` or later.
[[nodiscard]] Result<void> write_wal_of(const ClusterSpace& space, const BranchHome& home,
                                        const BranchRecord& record, Lsn from);

}  // namespace pgstrata
