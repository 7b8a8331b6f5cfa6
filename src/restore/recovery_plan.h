// Which snapshot, which WAL and which end bring a target back: decided from the repository alone, before
// anything is written anywhere.
//
// A plan is exact. The record at which recovery will stop is looked up first (in the segments' indexes, then
// in the WAL of the one segment that has it), so a target that recovery would not reach is refused here and
// not after an hour of copying; and WAL past the plan's end is withheld from recovery, so that two restores
// of one plan give the same cluster whatever the stream adds meanwhile.
//
// How the end is told to PostgreSQL:
//  * a target with a record to stop at: its own recovery_target_time, _lsn, _xid or _name. When recovery ends
//    before it all the same, PostgreSQL says so and does not open the cluster.
//  * latest, and a time or LSN after the last record that could stop there (the quiet stretch at a range's
//    end): no target at all; recovery replays what it is handed and ends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/cluster_record.h"
#include "catalog/coverage.h"
#include "restore/recovery_target.h"

namespace pgstrata {

// One segment that recovery will ask for.
struct RecoverySegment {
  TimelineId timeline;
  Lsn start;
  auto operator<=>(const RecoverySegment&) const = default;
};

struct RecoveryPlan {
  SnapshotRecord snapshot;
  RecoveryTarget target;  // as it was asked for
  TimelineId timeline;    // recovery_target_timeline, always a number

  // What PostgreSQL is told; absent: to replay all it is handed. Never LatestTarget.
  std::optional<TargetPoint> stop;
  // Nothing of the WAL from here on is handed to recovery.
  Lsn end_lsn;
  // Where recovery ends: at this, or before it by no more than a page header.
  Lsn expected_end_lsn;
  // The last commit known to lie before that end; not valid when none is.
  Timestamp last_commit;

  std::uint32_t wal_segment_bytes = 0;
  std::vector<RecoverySegment> segments;  // in the order in which recovery needs them
  std::vector<TimelineId>
      histories;  // every one the repository has: recovery asks for the newest to step past
  // The latest was asked for, and WAL beyond this plan's end is there and cannot be used: it, or some before
  // it, is damaged or missing.
  bool cut_short = false;
  std::vector<std::string> warnings;  // for the operator: a damaged snapshot was passed over, and the like
};

// Errors: outside_coverage (the hint names the nearest moments on both sides that can be restored); damaged,
// when WAL that must be looked into does not authenticate, or no snapshot is whole; cancelled; those of the
// store.
[[nodiscard]] Result<RecoveryPlan> plan_recovery(const ClusterSpace& space, const ClusterRecord& cluster,
                                                 const RecoveryTarget& target,
                                                 const Cancellation& cancellation);

// The same with coverage that was computed before.
[[nodiscard]] Result<RecoveryPlan> plan_recovery(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                                 const Coverage& coverage, const RecoveryTarget& target,
                                                 const Cancellation& cancellation);

// A timeline's history as a recovery by this plan is to find it; nothing where none is stored. Of the plan's own
// timeline it is as it is; in the place of another one that is damaged comes something that shows that its number
// is taken, with a word in the log. Errors: damaged; those of the store.
[[nodiscard]] Result<std::optional<Bytes>> history_for_recovery(const ClusterSpace& space,
                                                                const RecoveryPlan& plan,
                                                                TimelineId timeline);

// The first of a plan's segments that cannot be read whole. Reads and authenticates all WAL that recovery will
// ask for. Errors: those of the store; cancelled.
[[nodiscard]] Result<std::optional<DamagedWal>> find_damaged_wal(const ClusterSpace& space,
                                                                 const RecoveryPlan& plan,
                                                                 const Cancellation& cancellation);

// plan_recovery, of which all WAL can be read: the latest moment is the last before what cannot. Errors: as
// above; damaged, when what recovery to the target needs does not authenticate (the hint names the position up
// to which all does).
[[nodiscard]] Result<RecoveryPlan> plan_sound_recovery(const ClusterSpace& space,
                                                       const ClusterRecord& cluster,
                                                       const RecoveryTarget& target,
                                                       const Cancellation& cancellation);

}  // namespace pgstrata
