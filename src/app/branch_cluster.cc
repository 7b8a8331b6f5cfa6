#include "app/branch_cluster.h"

#include "app/target_plan.h"

namespace pgstrata {

Result<BranchOutcome> create_branch_at(const Repository& repository, const BranchRequest& request,
                                       const Cancellation& cancellation) {
  PGS_CHECK(check_branch_name(request.branch.name));
  PGS_TRY(const auto cluster, open_registered_cluster(repository, request.cluster));
  PGS_TRY(const auto plan, plan_target(cluster, request.target, WalReading::on_demand, cancellation));
  if (request.on_plan) request.on_plan(plan);
  PGS_TRY(auto record, create_branch(cluster.space, plan, request.branch, {}, cancellation));
  return BranchOutcome{std::move(record), plan};
}

Result<BranchRecord> start_branch_of(const Repository& repository, const std::string& cluster,
                                     const BranchHome& home, const Cancellation& cancellation) {
  PGS_TRY(const auto registered, open_registered_cluster(repository, cluster));
  return start_branch(registered.space, home, {}, cancellation);
}

}  // namespace pgstrata
