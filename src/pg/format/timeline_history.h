// Timeline history files: how a timeline came to be.
//
// Source: src/backend/access/transam/timeline.c. The file of timeline T lists its ancestors, oldest first,
// one a line: timeline, tab, LSN at which it was left, tab, reason. Blank lines and lines from '#' on say
// nothing. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

// `timeline` was followed up to `end`, which the next one continues; not at all where the one before ends
// there.
struct TimelineAncestor {
  TimelineId timeline;
  Lsn end;
  std::string reason;
  bool operator==(const TimelineAncestor&) const = default;
};

struct TimelineHistory {
  TimelineId timeline;                      // whose history it is
  std::vector<TimelineAncestor> ancestors;  // oldest first, timelines rising, ends not falling

  // The timeline whose WAL holds the byte at `lsn` on the way to this one.
  [[nodiscard]] TimelineId timeline_at(Lsn lsn) const;
};

inline constexpr std::size_t timeline_history_limit_bytes = 16U << 20U;

// `timeline` comes from the file's name. Error: damaged, when a line does not parse, timelines do not rise or
// reach `timeline`, or the text is longer than the limit.
[[nodiscard]] Result<TimelineHistory> parse_timeline_history(TimelineId timeline, std::string_view text);

}  // namespace pgstrata
