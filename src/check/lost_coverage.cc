#include "check/lost_coverage.h"

#include <algorithm>
#include <tuple>

namespace pgstrata {

namespace {

// The ways to the timelines that have been asked for.
class Ways {
 public:
  explicit Ways(const ClusterSpace& space) : space_(space) {}

  // Up to where the ways to two timelines are one.
  Lsn shared(TimelineId left, TimelineId right) {
    if (left == right) return no_end;
    const auto& one = way_to(left);
    const auto& other = way_to(right);
    Lsn to;
    for (std::size_t i = 0; i < std::min(one.size(), other.size()); ++i) {
      if (one[i].timeline != other[i].timeline) break;
      to = std::min(one[i].to, other[i].to);
      if (one[i].to != other[i].to) break;
    }
    return to;
  }

 private:
  const std::vector<TimelineStretch>& way_to(TimelineId timeline) {
    const auto known = ways_.find(timeline);
    if (known != ways_.end()) return known->second;
    // Of one whose history cannot be read nothing is known.
    auto way = timeline_ancestry(space_, timeline);
    return ways_.emplace(timeline, way ? *std::move(way) : std::vector<TimelineStretch>()).first->second;
  }

  const ClusterSpace& space_;
  std::map<TimelineId, std::vector<TimelineStretch>> ways_;
};

bool overlaps(const CoverageRange& range, Lsn from, Lsn to) {
  return range.from_lsn < to && range.to_lsn > from;
}

// Where the WAL ends that follows from `at` on, a segment's start, be it broken.
Lsn end_of_stretch(const WalInventory& inventory, const WalEnds& ends, TimelineId timeline, Lsn at) {
  for (; inventory.find(timeline, at) != nullptr; at += inventory.segment_bytes()) {
    const auto end = ends.find({timeline, at});
    if (end != ends.end() && end->second < at + inventory.segment_bytes()) return end->second;
  }
  return at;
}

// Coverage says how far WAL can be read. What is broken at the end of a range was promised all the same, and
// so was what follows a snapshot in whose segment nothing can be read.
void promise_broken_segments(const std::vector<SnapshotRecord>& snapshots, const WalInventory& inventory,
                             const Breakage& broken, const WalEnds& ends, Ways& ways,
                             std::vector<CoverageRange>& ranges) {
  const auto segment_bytes = inventory.segment_bytes();
  for (const auto& [timeline, start] : broken.segments) {
    const Lsn end = start + segment_bytes;
    const auto reaches = [&, tli = timeline, to = start](const CoverageRange& range) {
      if (range.timeline != tli || range.to_lsn > to) return false;
      Lsn at = inventory.segment_start(range.to_lsn);
      // Nothing follows a segment that is not full.
      for (; at < to; at += segment_bytes) {
        const auto* objects = inventory.find(tli, at);
        if (objects == nullptr || objects->sealed.empty()) return false;
      }
      return true;
    };
    if (const auto before = std::ranges::find_if(ranges, reaches); before != ranges.end()) {
      before->to_lsn = end_of_stretch(inventory, ends, timeline, end);
      before->to_time = {};
      continue;
    }
    for (const auto& snapshot : snapshots) {
      if (snapshot.timeline != timeline || snapshot.start_lsn >= end || snapshot.consistent_lsn < start)
        continue;
      const auto known = [&, tli = timeline](const CoverageRange& range) {
        return ways.shared(range.timeline, tli) >= snapshot.consistent_lsn &&
               overlaps(range, snapshot.consistent_lsn, std::max(end, snapshot.consistent_lsn + 1));
      };
      if (std::ranges::any_of(ranges, known)) continue;
      CoverageRange promised;
      promised.timeline = timeline;
      promised.from_lsn = snapshot.consistent_lsn;
      promised.from_time = snapshot.consistent_time;
      promised.to_lsn = std::max(end_of_stretch(inventory, ends, timeline, end), snapshot.consistent_lsn);
      ranges.push_back(std::move(promised));
    }
  }
}

std::vector<CoverageRange> in_order(std::vector<CoverageRange> ranges) {
  std::ranges::sort(ranges, {}, &CoverageRange::from_lsn);
  return ranges;
}

// Without its history, a timeline's WAL follows no snapshot of an earlier one.
void promise_cut_off_timelines(const Breakage& broken, const WalEnds& ends,
                               std::vector<CoverageRange>& ranges) {
  for (const auto timeline : broken.histories) {
    const auto first = ends.lower_bound({timeline, {}});
    if (first == ends.end() || first->first.first != timeline) continue;
    CoverageRange promised;
    promised.timeline = timeline;
    promised.from_lsn = first->first.second;
    promised.to_lsn = std::prev(ends.upper_bound({timeline, no_end}))->second;
    std::erase_if(ranges, [timeline = timeline](const auto& range) { return range.timeline == timeline; });
    ranges.push_back(std::move(promised));
  }
}

void subtract(const CoverageRange& range, const Coverage& after, Ways& ways,
              std::vector<LostCoverage>& lost) {
  LostCoverage left{range.timeline, range.from_lsn, range.to_lsn, range.from_time, range.to_time};
  for (const auto& kept : in_order(after.ranges)) {
    const Lsn kept_to = std::min(kept.to_lsn, ways.shared(left.timeline, kept.timeline));
    if (kept.from_lsn >= left.to_lsn || kept_to <= left.from_lsn || kept_to <= kept.from_lsn) continue;
    if (kept.from_lsn > left.from_lsn) {
      lost.push_back({range.timeline, left.from_lsn, kept.from_lsn, left.from_time, kept.from_time});
    }
    left.from_lsn = kept_to;
    left.from_time = kept_to == kept.to_lsn ? kept.to_time : Timestamp{};
  }
  if (left.from_lsn < left.to_lsn) lost.push_back(left);
}

// Whoever knows only a snapshot's id knows when it was begun: "20261121-100305-1f2e".
Timestamp begun(std::string_view id) {
  constexpr std::size_t length = 15;
  if (id.size() < length) return {};
  const auto time =
      parse_rfc3339(fmt::format("{}-{}-{}T{}:{}:{}Z", id.substr(0, 4), id.substr(4, 2), id.substr(6, 2),
                                id.substr(9, 2), id.substr(11, 2), id.substr(13, 2)));
  return time ? *time : Timestamp{};
}

// What followed a snapshot whose record cannot be read, as far as nothing else covers it.
void add_lost_with_record(std::string_view id, const WalEnds& ends, const Coverage& after,
                          std::vector<LostCoverage>& lost) {
  if (ends.empty()) return;
  const auto& [newest, end] = *ends.rbegin();
  LostCoverage range{newest.first, {}, end, begun(id), {}};
  for (const auto& kept : after.ranges) {
    // One that reaches the end has all that followed, whenever the last commit was.
    const bool to_the_end = kept.open_ended && kept.timeline == range.timeline;
    if (kept.to_time < range.from_time && !to_the_end) continue;
    // The id says the second: whatever begins within it may have begun before the snapshot did.
    if (kept.from_time < range.from_time + std::chrono::seconds(1)) return;
    range.to_lsn = kept.from_lsn;
    range.to_time = kept.from_time;
    break;
  }
  lost.push_back(range);
}

// What lies behind a hole could be restored up to where the range before the hole ends.
void add_lost_behind_holes(const Breakage& broken, const std::vector<CoverageRange>& ranges,
                           std::vector<LostCoverage>& lost) {
  for (auto behind : broken.behind_holes) {
    Lsn nearest;
    for (const auto& range : ranges) {
      if (range.timeline > behind.timeline || range.to_lsn > behind.from_lsn || range.to_lsn < nearest)
        continue;
      nearest = range.to_lsn;
      behind.from_time = range.to_time;
    }
    behind.to_time = std::max(behind.to_time, behind.from_time);
    lost.push_back(behind);
  }
}

// What is lost for two reasons is said once.
void join_overlapping(std::vector<LostCoverage>& lost) {
  std::ranges::sort(lost, {}, [](const auto& range) { return std::tie(range.timeline, range.from_lsn); });
  std::vector<LostCoverage> joined;
  for (const auto& range : lost) {
    if (joined.empty() || joined.back().timeline != range.timeline ||
        range.from_lsn >= joined.back().to_lsn) {
      joined.push_back(range);
    } else if (range.to_lsn > joined.back().to_lsn) {
      joined.back().to_lsn = range.to_lsn;
      joined.back().to_time = range.to_time;
    }
  }
  lost = std::move(joined);
}

}  // namespace

Result<std::vector<LostCoverage>> find_lost_coverage(const ClusterSpace& space, SnapshotList list,
                                                     WalInventory inventory, const Breakage& broken,
                                                     const WalEnds& ends, const Cancellation& cancellation) {
  PGS_TRY(auto before, compute_coverage(space, inventory, list, cancellation));
  Ways ways(space);
  promise_broken_segments(list.snapshots, inventory, broken, ends, ways, before.ranges);
  promise_cut_off_timelines(broken, ends, before.ranges);
  std::erase_if(list.snapshots, [&](const auto& snapshot) { return broken.snapshots.contains(snapshot.id); });
  for (const auto& [timeline, start] : broken.segments) inventory.forget(timeline, start);
  PGS_TRY(const auto after, compute_coverage(space, inventory, list, cancellation));
  std::vector<LostCoverage> lost;
  for (const auto& range : before.ranges) subtract(range, after, ways, lost);
  for (const auto& damaged : list.damaged) add_lost_with_record(damaged.id, ends, after, lost);
  add_lost_behind_holes(broken, before.ranges, lost);
  join_overlapping(lost);
  return lost;
}

std::vector<LostCoverage> less_what_is_covered(const ClusterSpace& space,
                                               const std::vector<LostCoverage>& lost, const Coverage& after) {
  Ways ways(space);
  std::vector<LostCoverage> left;
  for (const auto& range : lost) {
    CoverageRange whole;
    whole.timeline = range.timeline;
    whole.from_lsn = range.from_lsn;
    whole.to_lsn = range.to_lsn;
    whole.from_time = range.from_time;
    whole.to_time = range.to_time;
    subtract(whole, after, ways, left);
  }
  return left;
}

}  // namespace pgstrata
