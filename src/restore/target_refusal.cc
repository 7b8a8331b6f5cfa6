#include "restore/target_refusal.h"

#include <algorithm>

namespace pgstrata {
namespace {

std::string start_of(const CoverageRange& range) {
  return fmt::format("{} (LSN {})", range.from_time, range.from_lsn);
}
std::string end_of(const CoverageRange& range) {
  return fmt::format("{} (LSN {})", range.to_time, range.to_lsn);
}

// Whether the whole range lies before the target, by the target's own measure.
bool ends_before(const CoverageRange& range, const TargetPoint& point) {
  if (const auto* time = std::get_if<TimeTarget>(&point)) return range.to_time < time->time;
  if (const auto* lsn = std::get_if<LsnTarget>(&point)) return range.to_lsn < lsn->lsn;
  return false;
}

bool starts_after(const CoverageRange& range, const TargetPoint& point) {
  if (const auto* time = std::get_if<TimeTarget>(&point)) return time->time < range.from_time;
  if (const auto* lsn = std::get_if<LsnTarget>(&point)) return lsn->lsn < range.from_lsn;
  return false;
}

std::string nearest(const TargetPoint& point, const std::vector<CoverageRange>& ranges) {
  const CoverageRange* before = nullptr;
  const CoverageRange* after = nullptr;
  for (const auto& range : ranges) {
    if (ends_before(range, point) && (before == nullptr || before->to_lsn < range.to_lsn)) before = &range;
    if (starts_after(range, point) && (after == nullptr || range.from_lsn < after->from_lsn)) after = &range;
  }
  std::string text;
  if (before != nullptr) text += fmt::format("The nearest moment before it is {}. ", end_of(*before));
  if (after != nullptr) text += fmt::format("The nearest moment after it is {}. ", start_of(*after));
  return text;
}

std::string all_ranges(const std::vector<CoverageRange>& ranges) {
  std::string text = "What can be restored:";
  for (const auto& range : ranges) text += fmt::format(" from {} to {};", start_of(range), end_of(range));
  text.back() = '.';
  return text + " ";
}

}  // namespace

bool covers(const CoverageRange& range, const TargetPoint& point) {
  if (const auto* time = std::get_if<TimeTarget>(&point)) {
    return range.from_time <= time->time && time->time <= range.to_time;
  }
  if (const auto* lsn = std::get_if<LsnTarget>(&point)) {
    return range.from_lsn <= lsn->lsn && lsn->lsn <= range.to_lsn;
  }
  return false;
}

Error refuse_target(const RecoveryTarget& target, TimelineId timeline,
                    const std::vector<CoverageRange>& ranges, const std::vector<CoverageRange>& others) {
  auto error = make_error(ErrorCode::outside_coverage, "{} cannot be restored on timeline {}",
                          describe(target), timeline);
  std::string hint;
  if (ranges.empty() && others.empty()) {
    return std::move(error).with_hint(
        "The repository holds no snapshot with its WAL yet: make one with `pgstrata backup`.");
  }
  hint += nearest(target.point, ranges);
  if (hint.empty() && !ranges.empty()) hint += all_ranges(ranges);
  const auto other =
      std::ranges::find_if(others, [&](const auto& range) { return covers(range, target.point); });
  if (other != others.end())
    hint += fmt::format("Timeline {} has it: add --timeline {}. ", other->timeline, other->timeline);
  if (hint.empty() && !others.empty())
    hint = fmt::format("Timeline {0} has something that can be restored: add --timeline {0}. ",
                       others.back().timeline);
  if (hint.empty()) hint = fmt::format("Timeline {} has nothing that can be restored. ", timeline);
  hint.pop_back();
  return std::move(error).with_hint(std::move(hint));
}

}  // namespace pgstrata
