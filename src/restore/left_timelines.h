// Targets that mean something else on a timeline that was left. Internal to the room.
//
//   timeline 1  ──10:00──10:30──11:00     what was committed after 10:00 was left behind
//                   └── timeline 2 ──     rolled back to 10:00, begun at 11:30: the way to now
//
// A restore to 10:30 that names no timeline follows the way to now, and would bring back 10:00: at 10:30 the
// cluster was on timeline 1.
#pragma once

#include "restore/recovery_plan.h"

namespace pgstrata {

// Looks at what the plan's way has left behind; for targets without a timeline of their own. Of `plan` only
// the warnings change. `way` as
// timeline_ancestry gives it. A position that a left timeline has as well is warned of in the plan.
// Errors: outside_coverage, when at the target's time the cluster was on a timeline that was left since, and
// had commits there which the plan would not bring back, or may have been (where a checkpoint begins a
// timeline, it says so in whole seconds); damaged; cancelled; those of the store.
[[nodiscard]] Result<void> check_left_timelines(const ClusterSpace& space, const WalInventory& inventory,
                                                const Coverage& coverage,
                                                const std::vector<TimelineStretch>& way, RecoveryPlan& plan,
                                                const Cancellation& cancellation);

}  // namespace pgstrata
