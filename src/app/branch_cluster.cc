#include "app/branch_cluster.h"

#include <algorithm>

#include "app/target_plan.h"
#include "branch/near_copies.h"

namespace pgstrata {
namespace {

// With what is read of it kept near, where its repository is far.
struct NearCluster {
  std::unique_ptr<NearStore> copies;
  RegisteredCluster cluster;
};

Result<NearCluster> open_near_cluster(const Repository& repository, const std::string& name,
                                      const std::filesystem::path& state_directory) {
  PGS_TRY(auto there, open_registered_cluster(repository, name));
  auto copies = open_near_copies(there.space, state_directory);
  const auto& space = there.space;
  auto near = copies ? ClusterSpace(*copies, space.name(), space.key()) : space;
  return NearCluster{std::move(copies), {std::move(near), std::move(there.record)}};
}

// From this snapshot, however many there are by now.
Result<RecoveryPlan> plan_from(const std::string& snapshot, const RegisteredCluster& cluster,
                               const RecoveryTarget& target, const Cancellation& cancellation) {
  const auto segment_bytes = cluster.record.wal_segment_bytes;
  PGS_TRY(auto coverage, compute_coverage(cluster.space, segment_bytes, cancellation));
  for (auto& range : coverage.ranges)
    std::erase_if(range.snapshots, [&](const std::string& id) { return id != snapshot; });
  std::erase_if(coverage.snapshots, [&](const SnapshotRecord& record) { return record.id != snapshot; });
  return plan_recovery(cluster.space, segment_bytes, coverage, target, cancellation);
}

// The latest moment is then that at which the last one ended.
void warn_without_stream(const RegisteredCluster& cluster, RecoveryPlan& plan) {
  if (!std::holds_alternative<LatestTarget>(plan.target.point)) return;
  const auto stream = lease_holder(cluster.space, stream_lease_name);
  if (!stream) {
    plan.warnings.push_back(fmt::format("whether a stream of {} runs is not known: {}", cluster.space.name(),
                                        stream.error().describe()));
    return;
  }
  if (*stream) return;
  plan.warnings.push_back(
      fmt::format("no stream of {} runs: commits after {} may be missing", cluster.space.name(),
                  plan.last_commit.valid() ? to_display(plan.last_commit) : "the snapshot"));
}

}  // namespace

Result<BranchOutcome> create_branch_at(const Repository& repository, const BranchRequest& request,
                                       const Cancellation& cancellation) {
  PGS_CHECK(check_branch_name(request.branch.name));
  PGS_TRY(const auto near, open_near_cluster(repository, request.cluster, request.branch.state_directory));
  const auto& cluster = near.cluster;
  PGS_TRY(auto plan, plan_target(cluster, request.target, WalReading::on_demand, cancellation));
  warn_without_stream(cluster, plan);
  if (request.on_plan) request.on_plan(plan);
  PGS_TRY(auto record, create_branch(cluster.space, plan, request.branch, {}, cancellation));
  return BranchOutcome{std::move(record), std::move(plan)};
}

Result<BranchRecord> reset_branch_to(const Repository& repository, const std::string& cluster,
                                     const BranchHome& home, const std::optional<RecoveryTarget>& target,
                                     const Cancellation& cancellation) {
  PGS_TRY(const auto near, open_near_cluster(repository, cluster, home.state_directory()));
  const auto& registered = near.cluster;
  if (!target) return reset_branch(registered.space, home, nullptr, {}, cancellation);
  PGS_TRY(const auto plan, plan_target(registered, *target, WalReading::on_demand, cancellation));
  return reset_branch(registered.space, home, &plan, {}, cancellation);
}

Result<BranchRecord> advance_branch_to(const Repository& repository, const std::string& cluster,
                                       const BranchHome& home, const RecoveryTarget& target,
                                       const Cancellation& cancellation) {
  PGS_TRY(const auto near, open_near_cluster(repository, cluster, home.state_directory()));
  const auto& registered = near.cluster;
  PGS_TRY(const auto record, get_branch_record(home));
  PGS_TRY(const auto plan, plan_from(record.snapshot, registered, target, cancellation));
  return advance_branch(registered.space, home, plan, {}, cancellation);
}

Result<PromotedBranch> promote_branch_of(const Repository& repository, const std::string& cluster,
                                         const BranchHome& home, const PromotionOptions& options,
                                         const Cancellation& cancellation) {
  PGS_TRY(const auto registered, open_registered_cluster(repository, cluster));
  return promote_branch(registered.space, home, options, cancellation);
}

Result<BranchRecord> start_branch_of(const Repository& repository, const std::string& cluster,
                                     const BranchHome& home, const Cancellation& cancellation) {
  PGS_TRY(const auto near, open_near_cluster(repository, cluster, home.state_directory()));
  const auto& registered = near.cluster;
  return start_branch(registered.space, home, {}, cancellation);
}

}  // namespace pgstrata
