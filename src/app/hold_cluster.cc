#include "app/hold_cluster.h"

#include "app/reading_hold.h"
#include "app/target_plan.h"

namespace pgstrata {
namespace {

struct HeldPlan {
  Hold hold;
  WalSegmentIds segments;
};

HeldPlan held_by(const RecoveryPlan& plan) {
  return {{.snapshot = plan.snapshot.id,
           .timeline = plan.timeline,
           .from_lsn = plan.snapshot.start_lsn,
           .to_lsn = plan.end_lsn,
           .reason = {}},
          segments_of(plan)};
}

Result<HeldPlan> plan_of(const RegisteredCluster& cluster, const HeldSnapshot& held, const Cancellation&) {
  PGS_TRY(const auto snapshot, get_snapshot(cluster.space, held.id));
  HeldPlan plan{{.snapshot = snapshot.id,
                 .timeline = snapshot.timeline,
                 .from_lsn = snapshot.start_lsn,
                 .to_lsn = snapshot.consistent_lsn,
                 .reason = {}},
                {}};
  const std::uint32_t size = cluster.record.wal_segment_bytes;
  for (Lsn start{snapshot.start_lsn.value - snapshot.start_lsn.value % size}; start < snapshot.consistent_lsn;
       start += size)
    plan.segments.emplace(snapshot.timeline, start);
  return plan;
}

Result<HeldPlan> plan_of(const RegisteredCluster& cluster, const RecoveryTarget& target,
                         const Cancellation& cancellation) {
  PGS_TRY(const auto plan, plan_target(cluster, target, WalReading::on_demand, cancellation));
  return held_by(plan);
}

Result<HeldPlan> plan_of(const RegisteredCluster& cluster, const HeldRange& range,
                         const Cancellation& cancellation) {
  PGS_TRY(const auto from, plan_target(cluster, range.from, WalReading::on_demand, cancellation));
  PGS_TRY(const auto to, plan_target_from(from.snapshot.id, cluster, range.to, cancellation));
  if (to.end_lsn < from.end_lsn) return fail(ErrorCode::usage, "the range ends before it begins");
  return held_by(to);
}

}  // namespace

Result<Hold> add_hold(const RegisteredCluster& cluster, const HoldRequest& request, const Clock& clock,
                      const Cancellation& cancellation) {
  PGS_TRY(auto plan,
          std::visit([&](const auto& what) { return plan_of(cluster, what, cancellation); }, request.what));
  plan.hold.reason = request.reason;
  plan.hold.until = request.until;
  PGS_TRY(plan.hold.id,
          hold_for_reading(cluster.space, plan.hold, plan.segments, cluster.record.wal_segment_bytes, clock));
  return std::move(plan.hold);
}

}  // namespace pgstrata
