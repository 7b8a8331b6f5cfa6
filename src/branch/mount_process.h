// The process that serves one branch's file system: pgstrata itself, as `pgstrata mount-branch HOME`.
//
// One process for each branch, so that the death of one is no other's. It is told by its standard input what
// it may read: where the repository is and the key of the one cluster. It outlives whoever started it.
#pragma once

#include <filesystem>

#include "base/cancellation.h"
#include "branch/branch_record.h"
#include "repo/repository.h"

namespace pgstrata {

// Mounted when it returns. What an earlier process left of a mount there is taken away first. Errors: those of
// check_fuse; what the process says before it serves; cancelled. It is ended then.
[[nodiscard]] Result<void> start_mount_process(const BranchHome& home, const std::string& repository,
                                               const ClusterSpace& space, const Cancellation& cancellation);

// The body of that process: returns when somebody unmounts it, with everything durable. `open_store` as in
// app/repository_access.h.
using OpenBranchStore = std::function<Result<std::unique_ptr<ObjectStore>>(const std::string& location)>;
[[nodiscard]] Result<void> run_mount_process(const BranchHome& home, const OpenBranchStore& open_store);

// Unmounts and waits until the process is gone: everything is durable then. `force`: also while a server uses
// it, and when the process is dead or does not answer. None there is no error. Errors: busy; failed.
[[nodiscard]] Result<void> stop_mount_process(const BranchHome& home, bool force);
// And what it serves is mounted. It may be about to end all the same.
[[nodiscard]] Result<bool> mount_process_runs(const BranchHome& home);

}  // namespace pgstrata
