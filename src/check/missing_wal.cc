#include "check/missing_wal.h"

#include <algorithm>

#include "catalog/retention_horizon.h"
#include "catalog/wal_reader.h"
#include "catalog/wal_run.h"
#include "check/pack_check.h"

namespace pgstrata {

namespace {

class HolesOnPath {
 public:
  HolesOnPath(const ClusterSpace& space, const SnapshotList& list, const WalInventory& inventory,
              const Breakage& broken, std::vector<TimelineStretch> path)
      : space_(space), list_(list), inventory_(inventory), broken_(broken), path_(std::move(path)) {}

  Result<std::vector<WalHole>> find(const Cancellation& cancellation) {
    std::vector<WalHole> holes;
    auto runs = wal_runs(inventory_, path_);
    std::erase_if(runs, [&](const WalRun& run) { return is_broken_whole(run); });
    for (std::size_t next = 1; next < runs.size(); ++next) {
      PGS_CHECK(cancellation.check());
      PGS_TRY(const Lsn from, end_of(runs[next - 1]));
      const Lsn to = runs[next].start;
      if (from >= to || !follows_a_snapshot(to)) continue;
      const auto timeline = runs[next].segments.front().timeline;
      holes.push_back({{timeline, from, to, healed_by(to)}, {}});
    }
    if (holes.empty()) return holes;
    PGS_TRY(const auto end, examine_run_end(space_, inventory_, runs.back()));
    for (auto& hole : holes) {
      hole.behind = {end.timeline,
                     hole.missing.from_lsn,
                     end.bytes_end,
                     {},
                     std::max(end.complete_until, end.reaches_to)};
    }
    return holes;
  }

 private:
  [[nodiscard]] bool is_broken(const WalRunSegment& segment) const {
    return broken_.segments.contains({segment.timeline, segment.start});
  }
  [[nodiscard]] bool is_broken_whole(const WalRun& run) const {
    return std::ranges::all_of(run.segments, [this](const auto& segment) { return is_broken(segment); });
  }

  // Of what is not sealed a part is there; the rest of what is broken is not told from what was there.
  Result<Lsn> end_of(const WalRun& run) const {
    const auto& last = run.segments.back();
    const Lsn segment_end = std::min(last.start + inventory_.segment_bytes(), run.left_at);
    if (is_broken(last) || !inventory_.find(last.timeline, last.start)->sealed.empty()) return segment_end;
    const auto content = read_wal_segment(space_, inventory_, last.timeline, last.start);
    if (content) return std::min(last.start + content->bytes.size(), run.left_at);
    if (is_damage(content.error())) return segment_end;
    return std::unexpected(content.error());
  }

  [[nodiscard]] bool is_on_path(const SnapshotRecord& snapshot) const {
    const auto stretch = std::ranges::find(path_, snapshot.timeline, &TimelineStretch::timeline);
    return stretch != path_.end() && snapshot.consistent_lsn <= stretch->to;
  }

  // Before the first one nothing can be restored anyway.
  [[nodiscard]] bool follows_a_snapshot(Lsn hole_end) const {
    return std::ranges::any_of(list_.snapshots, [&](const SnapshotRecord& snapshot) {
      return is_on_path(snapshot) && snapshot.start_lsn < hole_end;
    });
  }

  // A snapshot of a later timeline goes on from there, too: whoever made it left this one behind.
  [[nodiscard]] std::string healed_by(Lsn hole_end) const {
    for (const auto& snapshot : list_.snapshots) {
      if (broken_.snapshots.contains(snapshot.id)) continue;
      if (is_on_path(snapshot) && snapshot.start_lsn >= hole_end) return snapshot.id;
      if (snapshot.timeline > path_.back().timeline) return snapshot.id;
    }
    return {};
  }

  const ClusterSpace& space_;
  const SnapshotList& list_;
  const WalInventory& inventory_;
  const Breakage& broken_;
  const std::vector<TimelineStretch> path_;
};

}  // namespace

Result<std::vector<WalHole>> find_wal_holes(const ClusterSpace& space, const SnapshotList& list,
                                            const WalInventory& inventory, const Breakage& broken,
                                            const Cancellation& cancellation) {
  std::vector<WalHole> holes;
  PGS_TRY(const auto horizons, get_wal_horizons(space));
  for (const auto& [timeline, segments] : inventory.timelines()) {
    if (broken.histories.contains(timeline)) continue;
    auto path = timeline_ancestry(space, timeline);
    if (!path && is_damage(path.error())) continue;
    if (!path) return std::unexpected(std::move(path).error());
    PGS_TRY(auto found, HolesOnPath(space, list, inventory, broken, *std::move(path)).find(cancellation));
    // Ways share holes; what lies behind may differ.
    for (auto& hole : found) {
      if (was_let_go(horizons, hole.missing.timeline, hole.missing.to_lsn)) continue;
      if (std::ranges::find(holes, hole) == holes.end()) holes.push_back(std::move(hole));
    }
  }
  return holes;
}

}  // namespace pgstrata
