#include "pg/format/timeline_history.h"

#include <algorithm>

#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

constexpr std::string_view blanks = " \t\r\v\f";

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
  const auto word = line.substr(0, line.find_first_of(blanks));
  line.remove_prefix(word.size());
  return word;
}

Result<TimelineAncestor> parse_line(std::string_view line) {
  constexpr std::size_t shown_max = 100;
  const std::string_view whole = line.substr(0, shown_max);
  const auto timeline = parse_decimal<std::uint32_t>(take_word(line));
  const auto end = parse_lsn(take_word(line));
  if (!timeline || *timeline == 0 || !end) {
    return fail(ErrorCode::damaged, "the timeline history has the line {:?}", whole);
  }
  line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
  return TimelineAncestor{TimelineId{*timeline}, *end, std::string(line)};
}

}  // namespace

TimelineId TimelineHistory::timeline_at(Lsn lsn) const {
  for (const auto& ancestor : ancestors) {
    if (lsn < ancestor.end) return ancestor.timeline;
  }
  return timeline;
}

Result<TimelineHistory> parse_timeline_history(TimelineId timeline, std::string_view text) {
  if (text.size() > timeline_history_limit_bytes) {
    return fail(ErrorCode::damaged, "the timeline history has {} bytes", text.size());
  }
  TimelineHistory history{timeline, {}};
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto start = line.find_first_not_of(blanks);
    if (start == std::string_view::npos || line[start] == '#') continue;
    PGS_TRY(auto ancestor, parse_line(line));
    if (!history.ancestors.empty() && ancestor.timeline <= history.ancestors.back().timeline) {
      return fail(ErrorCode::damaged, "the timeline history does not rise at timeline {}", ancestor.timeline);
    }
    history.ancestors.push_back(std::move(ancestor));
  }
  if (!history.ancestors.empty() && history.ancestors.back().timeline >= timeline) {
    return fail(ErrorCode::damaged, "the history of timeline {} names timeline {}", timeline,
                history.ancestors.back().timeline);
  }
  // A recovery along the newest timeline to a moment before the last fork leaves its ancestors where none of
  // them had been left before: as the server does, each counts up to where the way to its successor ends.
  for (std::size_t i = history.ancestors.size(); i > 1; --i) {
    auto& end = history.ancestors[i - 2].end;
    end = std::min(end, history.ancestors[i - 1].end);
  }
  return history;
}

}  // namespace pgstrata
