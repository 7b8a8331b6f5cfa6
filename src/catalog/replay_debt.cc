#include "catalog/replay_debt.h"

#include <algorithm>

namespace pgstrata {

namespace {

const SnapshotRecord& snapshot_named(const Coverage& coverage, const std::string& id) {
  const auto snapshot = std::ranges::find(coverage.snapshots, id, &SnapshotRecord::id);
  PGS_ASSERT(snapshot != coverage.snapshots.end());
  return *snapshot;
}

// What is replayed to reach the last moment that is restored from a snapshot.
struct Replay {
  const SnapshotRecord* snapshot;
  Lsn to;
};

// Where a range begins behind its first snapshots, on a timeline that was left, some serve none of it.
std::vector<Replay> replays_in(const Coverage& coverage, const CoverageRange& range) {
  std::vector<Replay> replays;
  for (const auto& id : range.snapshots) {
    const auto& snapshot = snapshot_named(coverage, id);
    if (!replays.empty()) replays.back().to = snapshot.consistent_lsn;
    if (!replays.empty() && replays.back().to <= range.from_lsn) replays.pop_back();
    replays.push_back({&snapshot, range.to_lsn});
  }
  return replays;
}

bool worse(const WorstReplayDebt& one, const std::optional<WorstReplayDebt>& other) {
  return !other || one.debt.time > other->debt.time;
}

}  // namespace

Result<std::optional<ReplayDebt>> replay_debt_now(ReplayMeter& meter, const Coverage& coverage,
                                                  const Cancellation& cancellation) {
  const auto* range = newest_range(coverage);
  if (range == nullptr) return std::nullopt;
  const auto& newest = snapshot_named(coverage, range->snapshots.back());
  PGS_TRY(const auto debt, meter.debt(newest.start_lsn, range->to_lsn, cancellation));
  return debt;
}

Result<WorstReplayDebt> worst_replay_debt(ReplayMeter& meter, const Coverage& coverage,
                                          const CoverageRange& range, const Cancellation& cancellation) {
  const auto replays = replays_in(coverage, range);
  PGS_ASSERT(!replays.empty());
  const auto sampling = meter.sampling(replays.front().snapshot->start_lsn, range.to_lsn);
  std::optional<WorstReplayDebt> worst;
  bool sampled = false;
  for (const auto& [snapshot, to] : replays) {
    PGS_TRY(const auto debt, meter.debt(snapshot->start_lsn, to, sampling, cancellation));
    sampled = sampled || debt.sampled;
    WorstReplayDebt found{debt, range.timeline, snapshot->id, to};
    if (worse(found, worst)) worst = std::move(found);
  }
  worst->debt.sampled = sampled;  // a worse one may have gone unseen
  return *std::move(worst);
}

Result<ReplayDebts> replay_debts(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                 const Coverage& coverage, const Cancellation& cancellation,
                                 std::size_t indexes_limit) {
  ReplayDebts debts;
  if (coverage.ranges.empty()) return debts;
  PGS_TRY(auto inventory, WalInventory::load(space, wal_segment_bytes));
  PGS_CHECK(forget_mere_beginnings(space, inventory));
  std::map<TimelineId, ReplayMeter> meters;
  for (const auto& range : coverage.ranges) {
    auto meter = meters.find(range.timeline);
    if (meter == meters.end()) {
      PGS_TRY(const auto way, timeline_ancestry(space, range.timeline));
      meter = meters.try_emplace(range.timeline, space, inventory, way, indexes_limit).first;
    }
    if (&range == newest_range(coverage)) {
      PGS_TRY(debts.now, replay_debt_now(meter->second, coverage, cancellation));
    }
    PGS_TRY(auto found, worst_replay_debt(meter->second, coverage, range, cancellation));
    if (worse(found, debts.worst)) debts.worst = std::move(found);
  }
  return debts;
}

}  // namespace pgstrata
