// Targets that mean something else on a timeline that was left: after a rollback to ten o'clock, half past
// ten lies on the old timeline for as long as the new one had not begun. Internal to the room.
#pragma once

#include "restore/recovery_plan.h"

namespace pgstrata {

// Looks at what the plan's way has left behind; for targets without a timeline of their own. `way` as
// timeline_ancestry gives it. A position that a left timeline has as well is warned of in the plan.
// Errors: outside_coverage, when at the target's time the cluster was on a timeline that was left since, and
// had commits there which the plan would not bring back, or may have been: PostgreSQL notes in whole seconds
// when a timeline begins; damaged; cancelled; those of the store.
[[nodiscard]] Result<void> check_left_timelines(const ClusterSpace& space, const WalInventory& inventory,
                                                const Coverage& coverage,
                                                const std::vector<TimelineStretch>& way, RecoveryPlan& plan,
                                                const Cancellation& cancellation);

}  // namespace pgstrata
