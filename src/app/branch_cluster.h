// `branch`: a cluster as it was, open for reads and writes, without copying it.
#pragma once

#include "app/registered_cluster.h"
#include "branch/branch.h"
#include "branch/branch_promote.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

struct BranchRequest {
  std::string cluster;
  RecoveryTarget target;
  NewBranch branch;
  std::function<void(const RecoveryPlan&)> on_plan = {};
};

struct BranchOutcome {
  BranchRecord record;
  RecoveryPlan plan;
};

// Errors: those of plan_target and create_branch.
[[nodiscard]] Result<BranchOutcome> create_branch_at(const Repository& repository,
                                                     const BranchRequest& request,
                                                     const Cancellation& cancellation);
// Back to its moment, or to `target` where one is given. Errors: those of plan_target and reset_branch.
[[nodiscard]] Result<BranchRecord> reset_branch_to(const Repository& repository, const std::string& cluster,
                                                   const BranchHome& home,
                                                   const std::optional<RecoveryTarget>& target,
                                                   const Cancellation& cancellation);
// A read-only branch, to a later moment. Errors: those of plan_target and advance_branch.
[[nodiscard]] Result<BranchRecord> advance_branch_to(const Repository& repository, const std::string& cluster,
                                                     const BranchHome& home, const RecoveryTarget& target,
                                                     const Cancellation& cancellation);
// With its hold in the repository; where that cannot be reached, the hold stays, with a word in the log. Errors: those of
// delete_branch.
[[nodiscard]] Result<void> delete_branch_of(const BranchHome& home);
// The same for all whose time is over.
void expire_branches_of(const std::filesystem::path& state_directory, std::string_view cluster,
                        std::string_view spared, Timestamp now);
// Errors: those of promote_branch.
[[nodiscard]] Result<PromotedBranch> promote_branch_of(const Repository& repository,
                                                       const std::string& cluster, const BranchHome& home,
                                                       const PromotionOptions& options,
                                                       const Cancellation& cancellation);
// Errors: those of start_branch.
[[nodiscard]] Result<BranchRecord> start_branch_of(const Repository& repository, const std::string& cluster,
                                                   const BranchHome& home, const Cancellation& cancellation);

}  // namespace pgstrata
