#include "app/target_plan.h"

#include <algorithm>

#include "catalog/coverage.h"

namespace pgstrata {
namespace {

// "Now" is always a little later than the newest moment that is known to be complete.
constexpr std::chrono::minutes soon{1};

// A refusal of a time that is but a moment too late says that --latest is what is meant.
Error point_to_latest(Error refusal, const RegisteredCluster& cluster, const RecoveryTarget& target,
                      const Cancellation& cancellation) {
  const auto* wanted = std::get_if<TimeTarget>(&target.point);
  if (wanted == nullptr || refusal.code() != ErrorCode::outside_coverage) return refusal;
  const auto coverage = compute_coverage(cluster.space, cluster.record.wal_segment_bytes, cancellation);
  if (!coverage) return refusal;
  const auto timeline = target.timeline ? target.timeline : coverage->current_timeline;
  Timestamp newest;
  for (const CoverageRange& range : coverage->ranges) {
    if (range.timeline == timeline) newest = std::max(newest, range.to_time);
  }
  if (!newest.valid() || wanted->time <= newest || wanted->time - newest >= soon) return refusal;
  auto hint = fmt::format("{}{}`--latest` restores everything up to {} or later.", refusal.hint(),
                          refusal.hint().empty() ? "" : " ", to_display(newest));
  return std::move(refusal).with_hint(std::move(hint));
}

}  // namespace

Result<RecoveryPlan> plan_target(const RegisteredCluster& cluster, const RecoveryTarget& target,
                                 WalReading reading, const Cancellation& cancellation) {
  auto plan = reading == WalReading::beforehand
                  ? plan_sound_recovery(cluster.space, cluster.record, target, cancellation)
                  : plan_recovery(cluster.space, cluster.record, target, cancellation);
  if (plan) return plan;
  return std::unexpected(point_to_latest(std::move(plan).error(), cluster, target, cancellation));
}

Result<RecoveryPlan> plan_target_from(const std::string& snapshot, const RegisteredCluster& cluster,
                                      const RecoveryTarget& target, const Cancellation& cancellation) {
  const auto segment_bytes = cluster.record.wal_segment_bytes;
  PGS_TRY(auto coverage, compute_coverage(cluster.space, segment_bytes, cancellation));
  for (auto& range : coverage.ranges)
    std::erase_if(range.snapshots, [&](const std::string& id) { return id != snapshot; });
  std::erase_if(coverage.snapshots, [&](const SnapshotRecord& record) { return record.id != snapshot; });
  return plan_recovery(cluster.space, segment_bytes, coverage, target, cancellation);
}

}  // namespace pgstrata
