// What of the findings is to go, and what stays damaged. Reads, removes nothing. Internal to this room.
#pragma once

#include "check/findings.h"
#include "check/repair.h"

namespace pgstrata {

struct PlannedDrop {
  std::string name;  // relative to the cluster's space
  std::string what;
  std::function<Result<bool>()> still_damaged;  // for good; asks the store
};

// A segment that is not sealed, of which damaged tails hold what nothing else does, up to `end`.
struct PlannedRewrite {
  TimelineId timeline;
  Lsn start;  // the segment's
  Lsn end;
};

struct RepairPlan {
  std::vector<PlannedRewrite> rewrites;  // before anything goes
  std::vector<PlannedDrop> drops;        // in the order in which they are to go
  std::vector<LostSnapshot> lost_snapshots;
  std::vector<KeptObject> kept;
  Breakage lost;                                          // what is gone for good, or goes
  std::set<std::pair<TimelineId, Lsn>> emptied_segments;  // of which nothing is left
};

// Borrows `space` for the life of the plan. Errors: those of the store; cancelled.
Result<RepairPlan> plan_repair(const ClusterSpace& space, const Findings& findings, bool stream_at_work,
                               const Cancellation& cancellation);

// The damage of that pack as it is read now; nothing when it is sound.
Result<std::optional<PackDamage>> look_at_pack(const ClusterSpace& space, const PackId& id,
                                               const Cancellation& cancellation);

}  // namespace pgstrata
