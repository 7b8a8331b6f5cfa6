// The steps by which a branch comes to be, for whoever makes one: create_branch, and a roll's hidden branch.
#pragma once

#include "branch/branch_record.h"
#include "branch/compute.h"
#include "repo/repository.h"
#include "restore/target_directory.h"
#include "sys/file_descriptor.h"

namespace pgstrata {

// Of the plan's moment; who it belongs to, its port and settings are still to be said.
[[nodiscard]] Result<BranchRecord> branch_record_of(const ClusterSpace& space, const RecoveryPlan& plan,
                                                    const std::string& name, const std::string& repository);

// Error: already_exists.
Result<void> make_branch_folders(const BranchHome& home, const FileOwner& owner);

// Its files are mounted when it returns, and as recovery is to find them. `record` must have been put. What is
// returned has to be synced before the branch's server may acknowledge anything for good. Errors: those of
// start_mount_process; not_found, damaged.
Result<std::vector<FileDescriptor>> mount_at_moment(const ClusterSpace& space, const RecoveryPlan& plan,
                                                    const BranchHome& home, const BranchRecord& record);

// Server and mount, whatever state they are in.
Result<void> stop_branch_processes(const BranchHome& home, StopMode mode);
// Its folder, once nothing of it runs.
Result<void> remove_branch_folder(const BranchHome& home);

}  // namespace pgstrata
