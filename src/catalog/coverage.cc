#include "catalog/coverage.h"

#include <algorithm>
#include <set>

#include "catalog/wal_reader.h"
#include "catalog/wal_run.h"

namespace pgstrata {

namespace {

constexpr Lsn no_end{UINT64_MAX};

// Where on the way to a timeline its ancestor `timeline` is left; nothing when it is not on the way.
std::optional<Lsn> end_on_path(const std::vector<TimelineStretch>& path, TimelineId timeline) {
  const auto stretch = std::ranges::find(path, timeline, &TimelineStretch::timeline);
  if (stretch == path.end()) return std::nullopt;
  return stretch->to;
}

// The snapshots that this run of WAL makes consistent, oldest first.
std::vector<const SnapshotRecord*> snapshots_within(const std::vector<SnapshotRecord>& snapshots,
                                                    const std::vector<TimelineStretch>& path,
                                                    const WalRun& run, const WalRunEnd& end) {
  std::vector<const SnapshotRecord*> within;
  for (const auto& snapshot : snapshots) {
    const auto left_at = end_on_path(path, snapshot.timeline);
    if (!left_at || snapshot.consistent_lsn > *left_at) continue;
    if (snapshot.start_lsn < run.start || snapshot.consistent_lsn > end.bytes_end) continue;
    within.push_back(&snapshot);
  }
  std::ranges::sort(within, {}, [](const auto* snapshot) { return snapshot->consistent_lsn; });
  return within;
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
                                                  std::vector<DamagedWal>& damaged) {
  std::vector<CoverageRange> ranges;
  const auto runs = wal_runs(inventory, path);
  for (const auto& run : runs) {
    PGS_TRY(auto end, examine_run_end(space, inventory, run));
    note_damage(std::move(end.damaged), damaged);
    const auto within = snapshots_within(snapshots, path, run, end);
    if (within.empty()) continue;
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
    range.to_time = std::max(end.complete_until, range.last_commit);
    range.open_ended = &run == &runs.back();
    ranges.push_back(std::move(range));
  }
  return ranges;
}

// Of a timeline that is not the newest: what lies beyond the point where the newest one's ancestry left it.
std::vector<CoverageRange> beyond(std::vector<CoverageRange> ranges,
                                  const std::vector<TimelineStretch>& newest_path,
                                  const TimelineStretch& own) {
  const auto left_at = end_on_path(newest_path, own.timeline).value_or(own.from);
  std::erase_if(ranges, [&](const CoverageRange& range) {
    return range.timeline != own.timeline || range.to_lsn <= left_at;
  });
  for (auto& range : ranges) range.from_lsn = std::max(range.from_lsn, left_at);
  return ranges;
}

// A history that is damaged is as good as none: what lies on the timeline itself can still be restored.
Result<std::vector<TimelineStretch>> readable_ancestry(const ClusterSpace& space, TimelineId timeline,
                                                       Coverage& coverage) {
  auto path = timeline_ancestry(space, timeline);
  if (path || path.error().code() != ErrorCode::damaged) return path;
  coverage.damaged_histories.push_back({timeline, std::move(path).error()});
  return std::vector<TimelineStretch>{{timeline, {}, no_end}};
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

// Those that something of is here. One of which there is no more than its history has nothing to restore yet:
// its server may have died before it wrote anything.
Result<std::set<TimelineId>> known_timelines(const ClusterSpace& space, const WalInventory& inventory,
                                             const std::vector<SnapshotRecord>& snapshots,
                                             std::vector<DamagedWal>& damaged) {
  std::set<TimelineId> timelines;
  for (const auto& snapshot : snapshots) timelines.insert(snapshot.timeline);
  for (const auto& [timeline, segments] : inventory.timelines()) {
    if (timelines.contains(timeline)) continue;
    const auto history = get_timeline_history(space, timeline);
    if (!history && history.error().code() != ErrorCode::damaged) return std::unexpected(history.error());
    bool known = timeline == TimelineId{1} || (history && history->has_value());
    if (!known) {
      PGS_TRY(known, has_wal_of_ours(space, inventory, timeline, damaged));
    }
    if (known) timelines.insert(timeline);
  }
  return timelines;
}

// A snapshot is as whole as the packs that hold it.
Result<void> leave_out_incomplete(const ClusterSpace& space, SnapshotList& list) {
  if (list.snapshots.empty()) return {};
  PGS_TRY(const auto objects, space.list("packs/"));
  std::set<std::string_view> there;
  for (const auto& object : objects) {
    if (object.size_bytes > 0) there.insert(object.name);
  }
  std::erase_if(list.snapshots, [&](const SnapshotRecord& snapshot) {
    const auto missing =
        std::ranges::count_if(snapshot.packs, [&](PackId id) { return !there.contains(pack_name(id)); });
    if (missing == 0) return false;
    list.damaged.push_back(
        {snapshot.id, make_error(ErrorCode::damaged, "{} of its {} packs {} gone or empty", missing,
                                 snapshot.packs.size(), missing == 1 ? "is" : "are")});
    return true;
  });
  return {};
}

}  // namespace

Result<std::vector<TimelineStretch>> timeline_ancestry(const ClusterSpace& space, TimelineId timeline) {
  PGS_TRY(const auto content, get_timeline_history(space, timeline));
  std::vector<TimelineStretch> path;
  Lsn from;
  if (content) {
    PGS_TRY(const auto history, parse_timeline_history(timeline, as_text(*content)));
    for (const auto& ancestor : history.ancestors) {
      path.push_back({ancestor.timeline, from, ancestor.end});
      from = ancestor.end;
    }
  }
  path.push_back({timeline, from, no_end});
  return path;
}

Result<Coverage> compute_coverage(const ClusterSpace& space, std::uint32_t wal_segment_bytes) {
  PGS_TRY(auto list, list_snapshots(space));
  PGS_CHECK(leave_out_incomplete(space, list));
  PGS_TRY(const auto inventory, WalInventory::load(space, wal_segment_bytes));
  return compute_coverage(space, inventory, list);
}

Result<Coverage> compute_coverage(const ClusterSpace& space, const WalInventory& inventory,
                                  const SnapshotList& list) {
  Coverage coverage;
  PGS_TRY(const auto timelines, known_timelines(space, inventory, list.snapshots, coverage.damaged_wal));
  coverage.wal_stored_bytes = inventory.stored_bytes();
  coverage.damaged_snapshots = list.damaged;
  if (timelines.empty()) return coverage;

  coverage.newest_timeline = *timelines.rbegin();
  PGS_TRY(const auto newest_path, readable_ancestry(space, *coverage.newest_timeline, coverage));
  PGS_TRY(coverage.ranges,
          ranges_on_path(space, inventory, list.snapshots, newest_path, coverage.damaged_wal));
  for (const auto timeline : timelines) {
    if (timeline == *coverage.newest_timeline) continue;
    PGS_TRY(const auto path, readable_ancestry(space, timeline, coverage));
    PGS_TRY(auto ranges, ranges_on_path(space, inventory, list.snapshots, path, coverage.damaged_wal));
    std::ranges::move(beyond(std::move(ranges), newest_path, path.back()),
                      std::back_inserter(coverage.ranges));
  }
  return coverage;
}

}  // namespace pgstrata
