// Where two histories of one cluster part.
#pragma once

#include <optional>

#include "pg/format/timeline_history.h"

namespace pgstrata {

// A server went from timeline `from` to `to` at `at`.
struct TimelineFork {
  TimelineId from;
  TimelineId to;
  Lsn at;
  bool operator==(const TimelineFork&) const = default;
};

// The last step of `theirs` that leaves a timeline which `ours` has been on. Nothing when theirs leads
// nowhere from there (it is one we know) or the two have no timeline in common. Pure.
[[nodiscard]] std::optional<TimelineFork> find_fork(const TimelineHistory& ours,
                                                    const TimelineHistory& theirs);

}  // namespace pgstrata
