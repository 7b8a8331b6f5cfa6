#include "catalog/coverage.h"

#include <algorithm>
#include <ranges>
#include <set>
#include <tuple>

#include "base/log.h"
#include "catalog/wal_reader.h"

namespace pgstrata {

namespace {

// Where on the way to a timeline its ancestor `timeline` is left; nothing when it is not on the way.
std::optional<Lsn> end_on_path(const std::vector<TimelineStretch>& path, TimelineId timeline) {
  const auto stretch = std::ranges::find(path, timeline, &TimelineStretch::timeline);
  if (stretch == path.end()) return std::nullopt;
  return stretch->to;
}

// The snapshots that this run of WAL makes consistent, oldest first.
std::vector<const SnapshotRecord*> snapshots_within(const std::vector<SnapshotRecord>& snapshots,
                                                    const std::vector<TimelineStretch>& path, Lsn start,
                                                    const WalRunEnd& end) {
  std::vector<const SnapshotRecord*> within;
  for (const auto& snapshot : snapshots) {
    const auto left_at = end_on_path(path, snapshot.timeline);
    if (!left_at || snapshot.consistent_lsn > *left_at) continue;
    if (snapshot.start_lsn < start || snapshot.consistent_lsn > end.bytes_end) continue;
    within.push_back(&snapshot);
  }
  std::ranges::sort(within, {},
                    [](const auto* snapshot) { return std::tie(snapshot->consistent_lsn, snapshot->id); });
  return within;
}

CoverageRange range_of(const std::vector<const SnapshotRecord*>& within, const WalRunEnd& end, bool newest) {
  CoverageRange range;
  range.timeline = end.timeline;
  range.from_lsn = within.front()->consistent_lsn;
  range.from_time = within.front()->consistent_time;
  for (const auto* snapshot : within) {
    range.from_time = std::min(range.from_time, snapshot->consistent_time);
    range.snapshots.push_back(snapshot->id);
  }
  range.to_lsn = std::max(end.records_end, range.from_lsn);
  range.last_commit = std::max(end.latest_transaction_end, range.from_time);
  range.to_time = std::max({end.complete_until, end.reaches_to, range.from_time});
  range.source_time = end.sent;
  range.open_ended = newest;
  return range;
}

// Ways share runs: each place once.
void note_damage(std::vector<DamagedWal> found, std::vector<DamagedWal>& damaged) {
  for (auto& wal : found) {
    const auto same = [&wal](const DamagedWal& other) {
      return other.timeline == wal.timeline && other.from == wal.from;
    };
    if (std::ranges::none_of(damaged, same)) damaged.push_back(std::move(wal));
  }
}

Result<std::vector<CoverageRange>> ranges_on_path(const ClusterSpace& space, const WalInventory& inventory,
                                                  const std::vector<SnapshotRecord>& snapshots,
                                                  const std::vector<TimelineStretch>& path,
                                                  std::vector<DamagedWal>& damaged,
                                                  const Cancellation& cancellation) {
  std::vector<CoverageRange> ranges;
  const auto runs = wal_runs(inventory, path);
  for (const auto& run : runs) {
    PGS_CHECK(cancellation.check());
    PGS_TRY(auto parts, examine_run(space, inventory, run));
    for (auto& part : parts) {
      // What was left out at the end, or lies behind it, is newer than what the range reaches.
      const bool newest = &run == &runs.back() && &part == &parts.back() && part.end.damaged.empty();
      const auto within = snapshots_within(snapshots, path, part.start, part.end);
      note_damage(std::move(part.end.damaged), damaged);
      if (!within.empty()) ranges.push_back(range_of(within, part.end, newest));
    }
  }
  return ranges;
}

// Of a timeline that is not the current one: what lies beyond the point up to which that one's way has it.
std::vector<CoverageRange> beyond(std::vector<CoverageRange> ranges, const TimelineStretch& own,
                                  Lsn left_at) {
  std::erase_if(ranges, [&](const CoverageRange& range) {
    return range.timeline != own.timeline || range.to_lsn <= left_at;
  });
  for (auto& range : ranges) range.from_lsn = std::max(range.from_lsn, left_at);
  return ranges;
}

// PostgreSQL does not recover to a timeline without its history: nothing then, and it is noted.
Result<std::optional<std::vector<TimelineStretch>>> readable_ancestry(const ClusterSpace& space,
                                                                      TimelineId timeline,
                                                                      Coverage& coverage) {
  auto path = timeline_ancestry(space, timeline);
  if (path && (timeline == TimelineId{1} || path->size() > 1)) return std::optional(*std::move(path));
  if (!path && path.error().code() != ErrorCode::damaged) return std::unexpected(std::move(path).error());
  coverage.damaged_histories.push_back(
      {timeline, path ? make_error(ErrorCode::not_found, "it is not there") : std::move(path).error()});
  return std::nullopt;
}

// Whether any of the WAL that bears this timeline's name is ours.
Result<bool> has_wal_of_ours(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline,
                             std::vector<DamagedWal>& damaged) {
  for (const auto& run : wal_runs(inventory, {{timeline, {}, no_end}})) {
    PGS_TRY(auto end, examine_run_end(space, inventory, run));
    if (end.bytes_end > run.start) return true;
    note_damage(std::move(end.damaged), damaged);
  }
  return false;
}

// Whether there is more of a timeline than its name.
Result<bool> is_ours(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline,
                     std::vector<DamagedWal>& damaged) {
  if (timeline == TimelineId{1}) return true;
  const auto history = get_timeline_history(space, timeline);
  if (history && history->has_value()) return true;
  if (!history && history.error().code() != ErrorCode::damaged) return std::unexpected(history.error());
  return has_wal_of_ours(space, inventory, timeline, damaged);
}

// Those that something of is here. One of which there is no more than its history has nothing to restore yet:
// its server may have died before it wrote anything.
Result<std::set<TimelineId>> known_timelines(const ClusterSpace& space, const WalInventory& inventory,
                                             const std::vector<SnapshotRecord>& snapshots,
                                             std::vector<DamagedWal>& damaged) {
  std::set<TimelineId> timelines;
  for (const auto& snapshot : snapshots) timelines.insert(snapshot.timeline);
  for (const auto& [timeline, segments] : inventory.timelines()) {
    if (timelines.contains(timeline)) continue;
    PGS_TRY(const bool ours, is_ours(space, inventory, timeline, damaged));
    if (ours) timelines.insert(timeline);
  }
  return timelines;
}

}  // namespace

const CoverageRange* newest_range(const Coverage& coverage) {
  for (const CoverageRange& range : coverage.ranges) {
    if (range.open_ended && coverage.current_timeline == range.timeline) return &range;
  }
  return nullptr;
}

Result<std::vector<CoverageRange>> ranges_of_timeline(const ClusterSpace& space,
                                                      const WalInventory& inventory,
                                                      const std::vector<SnapshotRecord>& snapshots,
                                                      TimelineId timeline, const Cancellation& cancellation) {
  PGS_TRY(const auto path, timeline_ancestry(space, timeline));
  std::vector<DamagedWal> told_by_coverage;
  return ranges_on_path(space, inventory, snapshots, path, told_by_coverage, cancellation);
}

Result<std::optional<TimelineId>> current_timeline_with_wal(const ClusterSpace& space,
                                                            const WalInventory& inventory) {
  std::vector<DamagedWal> damaged;
  std::set<TimelineId> timelines;
  for (const auto& [timeline, segments] : inventory.timelines()) {
    PGS_TRY(const bool ours, is_ours(space, inventory, timeline, damaged));
    if (ours) {
      timelines.insert(timeline);
    } else {
      log_warning("the WAL of timeline {} is passed over: nothing of it can be read", timeline);
    }
  }
  return current_timeline(space, timelines);
}

Result<Coverage> compute_coverage(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                  const Cancellation& cancellation) {
  constexpr int attempts = 5;
  for (int attempt = 1;; ++attempt) {
    PGS_CHECK(cancellation.check());
    PGS_TRY(const auto list, list_whole_snapshots(space));
    PGS_TRY(auto inventory, WalInventory::load(space, wal_segment_bytes));
    PGS_TRY(auto coverage, compute_coverage(space, std::move(inventory), list, cancellation));
    // A stream that is at work replaces objects: what was listed and is gone is by now in another.
    const bool moved = std::ranges::any_of(
        coverage.damaged_wal, [](const DamagedWal& wal) { return wal.error.code() == ErrorCode::not_found; });
    if (!moved || attempt == attempts) return coverage;
  }
}

Result<Coverage> compute_coverage(const ClusterSpace& space, WalInventory inventory, const SnapshotList& list,
                                  const Cancellation& cancellation) {
  Coverage coverage;
  PGS_CHECK(forget_mere_beginnings(space, inventory));
  PGS_TRY(const auto timelines, known_timelines(space, inventory, list.snapshots, coverage.damaged_wal));
  coverage.wal_stored_bytes = inventory.stored_bytes();
  coverage.damaged_snapshots = list.damaged;
  coverage.snapshots = list.snapshots;
  if (timelines.empty()) return coverage;

  PGS_TRY(coverage.current_timeline, current_timeline(space, timelines));
  PGS_TRY(const auto current_path, readable_ancestry(space, *coverage.current_timeline, coverage));
  Lsn covered;  // on the current one's way
  if (current_path) {
    PGS_TRY(coverage.ranges, ranges_on_path(space, inventory, list.snapshots, *current_path,
                                            coverage.damaged_wal, cancellation));
    if (!coverage.ranges.empty()) covered = coverage.ranges.back().to_lsn;
  }
  for (const auto timeline : timelines) {
    if (timeline == *coverage.current_timeline) continue;
    PGS_TRY(const auto path, readable_ancestry(space, timeline, coverage));
    if (!path) continue;
    PGS_TRY(auto ranges,
            ranges_on_path(space, inventory, list.snapshots, *path, coverage.damaged_wal, cancellation));
    const auto fork = current_path ? end_on_path(*current_path, timeline) : std::nullopt;
    std::ranges::move(
        beyond(std::move(ranges), path->back(), std::min(covered, fork.value_or(path->back().from))),
        std::back_inserter(coverage.ranges));
  }
  return coverage;
}

}  // namespace pgstrata
