// The steps of a branch's life, for whoever takes several: the commands on branches, and a roll's hidden
// branch. The caller holds the branch's lock, once there is a branch.
#pragma once

#include "branch/branch_record.h"
#include "branch/compute.h"
#include "repo/repository.h"
#include "restore/target_directory.h"

namespace pgstrata {

// Of the plan's moment; who it belongs to, its port and settings are still to be said.
[[nodiscard]] Result<BranchRecord> branch_record_of(const ClusterSpace& space, const RecoveryPlan& plan,
                                                    std::span<const NewTablespace> tablespaces,
                                                    const std::string& name, const std::string& repository);
// What a record says of a plan: snapshot, WAL, moment. `tablespaces`: those that its WAL makes.
[[nodiscard]] Result<void> set_plan(BranchRecord& record, const ClusterSpace& space, const RecoveryPlan& plan,
                                    std::span<const NewTablespace> tablespaces);

// The folder of a branch that is about to be made, locked; one that an interrupted command left there without
// a record is taken away first. Errors: already_exists; busy, when another command makes it just now.
Result<LockFile> make_branch_folder(const BranchHome& home, const FileOwner& owner);

// Its files are mounted when it returns, and as recovery is to find them; what was in the overlay is gone.
// `record` must have been put, `snapshot` is the one it names. Errors: those of start_mount_process;
// not_found, damaged.
Result<void> mount_at_moment(const ClusterSpace& space, const SnapshotRecord& snapshot,
                             const BranchHome& home, const BranchRecord& record,
                             const Cancellation& cancellation);

// Makes the branch what its record says, from nothing. Until it has succeeded the record on the disk must say
// that the branch is not recovered; it says so then, and that it runs. Errors: as above; those of
// recover_compute.
Result<void> open_at_moment(const ClusterSpace& space, const BranchHome& home, BranchRecord& record,
                            const ServerInstallation& installation, const ComputeOptions& options,
                            const Cancellation& cancellation);

// Mounts what is there anew, with nothing left of an earlier mount or server. Errors: those of
// end_left_server and start_mount_process.
Result<void> mount_branch(const ClusterSpace& space, const BranchHome& home, const BranchRecord& record,
                          const Cancellation& cancellation);

// Whether it is mounted, and its server open; one that comes up or goes down is waited for. Errors: those of
// settled_compute_state.
[[nodiscard]] Result<bool> branch_serves(const BranchHome& home, const ComputeOptions& options,
                                         const Cancellation& cancellation);

// Brings a branch that came to its moment back, with all that was written in it and nothing left of an
// earlier mount or server; on another port where another server has its own. What the record says of WAL that
// is not there yet is written. The record says that it runs then. Errors: those of mount_branch and
// start_compute, with what the mount says of them.
Result<void> bring_branch_back(const ClusterSpace& space, const BranchHome& home, BranchRecord& record,
                               const ServerInstallation& installation, const ComputeOptions& options,
                               const Cancellation& cancellation);

// The WAL that the record names, the mount does not show from the repository, and is not there yet: segments
// that end at `from` or later.
Result<void> write_wal_of(const ClusterSpace& space, const BranchHome& home, const BranchRecord& record,
                          Lsn from);

// Server and mount, whatever state they are in. Everything written is durable when it returns, but what a
// dead mount had not synced. Error: busy, when one of them does not end.
Result<void> stop_branch_processes(const BranchHome& home, StopMode mode);
// All of it, in whatever state it is: stopped at once, then its folder, the record first, without which it is
// no branch. Errors: busy, when a process does not end; those of the disk.
Result<void> remove_branch(const BranchHome& home);

}  // namespace pgstrata
