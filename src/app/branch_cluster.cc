#include "app/branch_cluster.h"

#include <algorithm>

#include "app/reading_hold.h"
#include "app/target_plan.h"
#include "base/log.h"
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

// `move` takes a branch to the plan's moment, and its hold goes along. One that fails leaves it where it was, or on its way
// there: it keeps the hold of that.
Result<BranchRecord> move_with_hold(const ClusterSpace& space, const BranchHome& home,
                                    const RecoveryPlan& plan,
                                    const std::function<Result<BranchRecord>()>& move) {
  PGS_TRY(const auto before, get_branch_record(home));
  PGS_TRY(const auto hold, hold_plan(space, plan, HoldKind::branch, branch_hold_reason(before.name)));
  auto moved = move();
  const auto now = get_branch_record(home);
  const bool on_its_way = now && now->snapshot == plan.snapshot.id && now->timeline == plan.timeline &&
                          now->end_lsn == plan.expected_end_lsn;
  if (!moved && !on_its_way) {
    release_hold(space.store(), space.name(), hold);
    return moved;
  }
  PGS_CHECK(set_branch_hold(home, hold));
  release_hold(space.store(), space.name(), before.hold);
  if (moved) moved->hold = hold;
  return moved;
}

// Of one that was made while the repository could not be written to.
Result<void> make_up_for_hold(const ClusterSpace& space, const BranchHome& home, const BranchRecord& record) {
  RecoveryPlan plan;
  plan.snapshot.id = record.snapshot;
  PGS_TRY(plan.snapshot, get_snapshot(space, record.snapshot));
  plan.timeline = record.timeline;
  plan.end_lsn = record.end_lsn;
  plan.wal_segment_bytes = record.wal_segment_bytes;
  plan.segments = record.wal;
  PGS_TRY(const auto hold, hold_plan(space, plan, HoldKind::branch, branch_hold_reason(record.name)));
  return hold.empty() ? Result<void>() : set_branch_hold(home, hold);
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
  NewBranch branch = request.branch;
  PGS_TRY(branch.hold, hold_plan(cluster.space, plan, HoldKind::branch, branch_hold_reason(branch.name)));
  auto record = create_branch(cluster.space, plan, branch, {}, cancellation);
  if (record) return BranchOutcome{*std::move(record), std::move(plan)};
  release_hold(repository.store(), request.cluster, branch.hold);
  return std::unexpected(std::move(record).error());
}

Result<BranchRecord> reset_branch_to(const Repository& repository, const std::string& cluster,
                                     const BranchHome& home, const std::optional<RecoveryTarget>& target,
                                     const Cancellation& cancellation) {
  PGS_TRY(const auto near, open_near_cluster(repository, cluster, home.state_directory()));
  const auto& registered = near.cluster;
  if (!target) return reset_branch(registered.space, home, nullptr, {}, cancellation);
  PGS_TRY(const auto plan, plan_target(registered, *target, WalReading::on_demand, cancellation));
  return move_with_hold(registered.space, home, plan,
                        [&] { return reset_branch(registered.space, home, &plan, {}, cancellation); });
}

Result<BranchRecord> advance_branch_to(const Repository& repository, const std::string& cluster,
                                       const BranchHome& home, const RecoveryTarget& target,
                                       const Cancellation& cancellation) {
  PGS_TRY(const auto near, open_near_cluster(repository, cluster, home.state_directory()));
  const auto& registered = near.cluster;
  PGS_TRY(const auto record, get_branch_record(home));
  PGS_TRY(const auto plan, plan_target_from(record.snapshot, registered, target, cancellation));
  return move_with_hold(registered.space, home, plan,
                        [&] { return advance_branch(registered.space, home, plan, {}, cancellation); });
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
  PGS_TRY(const auto record, start_branch(registered.space, home, {}, cancellation));
  if (record.hold.empty()) {
    if (const auto held = make_up_for_hold(registered.space, home, record); !held)
      log_warning("branch \"{}\" has no hold on what it reads: {}", record.name, held.error().describe());
  }
  return record;
}

Result<void> delete_branch_of(const BranchHome& home) {
  const auto record = get_branch_record(home);
  PGS_CHECK(delete_branch(home));
  if (record) release_hold(record->repository, record->cluster, record->hold);
  return {};
}

void expire_branches_of(const std::filesystem::path& state_directory, std::string_view cluster,
                        std::string_view spared, Timestamp now) {
  for (const auto& record : delete_expired_branches(state_directory, cluster, spared, now))
    release_hold(record.repository, record.cluster, record.hold);
}

}  // namespace pgstrata
