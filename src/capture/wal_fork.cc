#include "capture/wal_fork.h"

#include <algorithm>

namespace pgstrata {

namespace {

bool has_been_on(const TimelineHistory& history, TimelineId timeline) {
  return history.timeline == timeline || std::ranges::any_of(history.ancestors, [&](const auto& ancestor) {
           return ancestor.timeline == timeline;
         });
}

}  // namespace

std::optional<TimelineFork> find_fork(const TimelineHistory& ours, const TimelineHistory& theirs) {
  if (has_been_on(ours, theirs.timeline)) return std::nullopt;
  TimelineId to = theirs.timeline;
  for (auto step = theirs.ancestors.rbegin(); step != theirs.ancestors.rend(); ++step) {
    if (has_been_on(ours, step->timeline)) return TimelineFork{step->timeline, to, step->end};
    to = step->timeline;
  }
  return std::nullopt;
}

}  // namespace pgstrata
