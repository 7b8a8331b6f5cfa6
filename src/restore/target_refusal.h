// Why a target cannot be restored, and what can be instead. Internal to the room.
#pragma once

#include <vector>

#include "catalog/coverage.h"
#include "restore/recovery_target.h"

namespace pgstrata {

// outside_coverage for a target that lies in none of `ranges`, those of the timeline to be followed. The hint
// names the nearest moments on both sides; `others` are ranges of other timelines, named when one of them has
// the target.
[[nodiscard]] Error refuse_target(const RecoveryTarget& target, TimelineId timeline,
                                  const std::vector<CoverageRange>& ranges,
                                  const std::vector<CoverageRange>& others);

// Whether a time or LSN lies within the range; false for all other targets.
[[nodiscard]] bool covers(const CoverageRange& range, const TargetPoint& point);

}  // namespace pgstrata
