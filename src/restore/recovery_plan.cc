#include "restore/recovery_plan.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/log.h"
#include "catalog/wal_reader.h"
#include "restore/left_timelines.h"
#include "restore/target_refusal.h"
#include "restore/wal_search.h"

namespace pgstrata {
namespace {

// Where recovery stops, once the record is known.
struct Stop {
  std::optional<TargetPoint> native;  // absent: the end of the range
  Lsn end_lsn;                        // WAL needed to get there
  Lsn expected_end_lsn;
  Timestamp last_commit;
};

Stop stop_before(TargetPoint native, const RecordFacts& record, Timestamp last_commit) {
  return {std::move(native), record.end, record.start, last_commit};
}
Stop stop_after(TargetPoint native, const RecordFacts& record, Timestamp last_commit) {
  if (record.transaction && record.transaction->committed) last_commit = record.transaction->time;
  return {std::move(native), record.end, record.end, last_commit};
}
Stop stop_at_end(const CoverageRange& range, Timestamp last_commit) {
  return {std::nullopt, range.to_lsn, range.to_lsn, last_commit};
}

// Makes one plan: the choices that depend on each other, and what they are made from.
class Planner {
 public:
  Planner(const ClusterSpace& space, const Coverage& coverage, const RecoveryTarget& target,
          TimelineId timeline, const WalInventory& inventory, const std::vector<TimelineStretch>& way,
          const Cancellation& cancellation)
      : space_(space),
        target_(target),
        timeline_(timeline),
        inventory_(inventory),
        way_(way),
        search_(space, inventory, way, cancellation) {
    for (const auto& range : coverage.ranges)
      (range.timeline == timeline ? ranges_ : others_).push_back(range);
    std::ranges::sort(ranges_, {}, &CoverageRange::from_lsn);
    for (const auto& damaged : coverage.damaged_snapshots) pass_over(damaged.id, damaged.error);
    damaged_wal_ = coverage.damaged_wal;
    current_ = timeline == coverage.current_timeline;
    for (const auto& damaged : coverage.damaged_histories) {
      if (damaged.timeline == timeline) history_damage_ = damaged.error;
    }
    // A newer timeline that is passed over as somebody's invention may have been ours before it was damaged.
    for (const auto& wal : coverage.damaged_wal) {
      const auto known = std::ranges::find(coverage.ranges, wal.timeline, &CoverageRange::timeline);
      if (coverage.current_timeline < wal.timeline && known == coverage.ranges.end()) {
        plan_.warnings.push_back(
            fmt::format("timeline {} is passed over: nothing of it can be read", wal.timeline));
      }
    }
    only_damaged_snapshots_ = !coverage.damaged_snapshots.empty() && coverage.snapshots.empty();
  }

  Result<RecoveryPlan> plan() {
    for (auto range = ranges_.rbegin(); range != ranges_.rend(); ++range) {
      PGS_TRY(const bool found, plan_in(*range));
      if (!found) continue;
      plan_.target = target_;
      plan_.timeline = timeline_;
      plan_.wal_segment_bytes = inventory_.segment_bytes();
      PGS_CHECK(list_wal());
      return std::move(plan_);
    }
    if (history_damage_) return std::unexpected(no_history(*history_damage_));
    auto refusal =
        only_damaged_snapshots_
            ? make_error(ErrorCode::damaged, "no snapshot can be restored")
                  .with_hint("`pgstrata verify` names everything that is damaged, and what may cure it.")
            : refuse_target(target_, timeline_, ranges_, others_);
    for (const auto& warning : plan_.warnings) refusal = std::move(refusal).with_context(warning);
    return std::unexpected(std::move(refusal));
  }

 private:
  // Tries the range's snapshots, newest first. False when the target is not in it.
  Result<bool> plan_in(const CoverageRange& range) {
    const bool by_position =
        std::holds_alternative<TimeTarget>(target_.point) || std::holds_alternative<LsnTarget>(target_.point);
    if (by_position && !covers(range, target_.point)) return false;
    Lsn search_to = range.to_lsn;
    for (auto id = range.snapshots.rbegin(); id != range.snapshots.rend(); ++id) {
      auto snapshot = get_snapshot(space_, *id);
      if (!snapshot) {
        PGS_CHECK(damage_is_passed_over(*id, snapshot.error()));
        continue;
      }
      if (!may_start_from(*snapshot)) continue;
      PGS_TRY(auto stop, find_stop(*snapshot, range, search_to));
      if (!stop) {
        // What a search by name looks for is not after this snapshot, so it is looked for before it.
        if (!by_position) search_to = std::min(search_to, snapshot->start_lsn);
        continue;
      }
      if (stop->expected_end_lsn < snapshot->consistent_lsn) {
        // It lies between a snapshot's start and the point from which it is consistent: an older one reaches
        // it.
        if (!by_position) search_to = std::min(search_to, stop->end_lsn);
        continue;
      }
      accept(*std::move(snapshot), *std::move(stop), range);
      return true;
    }
    return false;
  }

  void accept(SnapshotRecord snapshot, Stop stop, const CoverageRange& range) {
    plan_.snapshot = std::move(snapshot);
    plan_.stop = std::move(stop.native);
    plan_.end_lsn = stop.end_lsn;
    plan_.expected_end_lsn = stop.expected_end_lsn;
    plan_.last_commit = stop.last_commit;
    if (!std::holds_alternative<LatestTarget>(target_.point)) return;
    for (const auto& wal : damaged_wal_) {
      const bool on_the_way = std::ranges::any_of(way_, [&wal](const TimelineStretch& stretch) {
        return stretch.timeline == wal.timeline && wal.from < stretch.to;
      });
      if (!on_the_way || wal.from < plan_.end_lsn) continue;
      plan_.cut_short = true;
      plan_.warnings.push_back(fmt::format("WAL of timeline {} from {} on is damaged and is not restored: {}",
                                           wal.timeline, wal.from, wal.error.describe()));
    }
    if (plan_.cut_short || range.open_ended || !current_) return;
    plan_.cut_short = true;
    plan_.warnings.push_back(fmt::format(
        "WAL after {} is not restored: some before it is missing, and it follows no later snapshot",
        range.to_lsn));
  }

  [[nodiscard]] bool may_start_from(const SnapshotRecord& snapshot) const {
    if (const auto* time = std::get_if<TimeTarget>(&target_.point))
      return snapshot.consistent_time <= time->time;
    if (const auto* lsn = std::get_if<LsnTarget>(&target_.point)) return snapshot.consistent_lsn <= lsn->lsn;
    return true;
  }

  // Nothing when the target is not in the WAL from the snapshot on.
  Result<std::optional<Stop>> find_stop(const SnapshotRecord& snapshot, const CoverageRange& range,
                                        Lsn search_to) {
    const SearchedWal where{snapshot.start_lsn, search_to, static_cast<int>(snapshot.server_version / 10000)};
    if (const auto* time = std::get_if<TimeTarget>(&target_.point)) return find_time(*time, range, where);
    if (const auto* lsn = std::get_if<LsnTarget>(&target_.point)) return find_lsn(*lsn, range, where);
    if (const auto* xid = std::get_if<XidTarget>(&target_.point)) return find_xid(*xid, where);
    if (const auto* name = std::get_if<RestorePointTarget>(&target_.point))
      return find_restore_point(*name, where);
    return std::optional(stop_at_end(range, range.last_commit));
  }

  Result<std::optional<Stop>> find_time(const TimeTarget& target, const CoverageRange& range,
                                        const SearchedWal& where) {
    const auto stops = [&](Timestamp end) {
      return end.valid() && (target_.inclusive ? end > target.time : end >= target.time);
    };
    if (!stops(range.last_commit)) return std::optional(stop_at_end(range, range.last_commit));
    PGS_TRY(const auto record, search_.find_first(
                                   where, [&](const WalIndex& index) { return stops(index.last_end_time); },
                                   [&](const RecordFacts& facts) {
                                     return facts.transaction && stops(facts.transaction->time);
                                   }));
    if (!record) return std::optional(stop_at_end(range, search_.last_commit()));
    return std::optional(stop_before(target, *record, search_.last_commit()));
  }

  Result<std::optional<Stop>> find_lsn(const LsnTarget& target, const CoverageRange& range,
                                       const SearchedWal& where) {
    PGS_TRY(const auto record,
            search_.find_first(
                where, [&](const WalIndex& index) { return index.last_record_start >= target.lsn; },
                [&](const RecordFacts& facts) { return facts.start >= target.lsn; }));
    if (!record) return std::optional(stop_at_end(range, search_.last_commit()));
    return std::optional(target_.inclusive ? stop_after(target, *record, search_.last_commit())
                                           : stop_before(target, *record, search_.last_commit()));
  }

  Result<std::optional<Stop>> find_xid(const XidTarget& target, const SearchedWal& where) {
    const auto within = [&](const WalIndex& index) {
      return index.first_xid.valid() && target.xid.value - index.first_xid.value <=
                                            index.last_xid.value - index.first_xid.value;  // circular
    };
    PGS_TRY(const auto record, search_.find_first(where, within, [&](const RecordFacts& facts) {
      return facts.transaction && facts.transaction->xid == target.xid;
    }));
    if (!record) return std::nullopt;
    return std::optional(target_.inclusive ? stop_after(target, *record, search_.last_commit())
                                           : stop_before(target, *record, search_.last_commit()));
  }

  Result<std::optional<Stop>> find_restore_point(const RestorePointTarget& target, const SearchedWal& where) {
    const auto listed = [&](const WalIndex& index) {
      return index.cut.restore_points ||
             std::ranges::find(index.restore_points, target.name, &IndexedRestorePoint::name) !=
                 index.restore_points.end();
    };
    const auto named = [&](const RecordFacts& facts) { return facts.restore_point == target.name; };
    PGS_TRY(const auto first, search_.find_first(where, listed, named));
    if (!first) return std::nullopt;
    const Timestamp last_commit = search_.last_commit();
    PGS_TRY(const auto last, search_.find_last(where, listed, named));
    if (last->start == first->start) return std::optional(stop_after(target, *first, last_commit));
    // PostgreSQL would stop at the first of that name; the newest is what is meant.
    plan_.warnings.push_back(fmt::format(
        "several restore points are named \"{}\": the newest, at {}, is restored", target.name, last->end));
    PGS_TRY(const auto record,
            search_.find_first(
                where, [&](const WalIndex& index) { return index.last_record_start >= last->start; },
                [&](const RecordFacts& facts) { return facts.start == last->start; }));
    return std::optional(stop_after(LsnTarget{record->start}, *record, search_.last_commit()));
  }

  // Segments from the snapshot's start to the plan's end, and the histories.
  Result<void> list_wal() {
    const std::uint32_t segment_bytes = inventory_.segment_bytes();
    for (Lsn at = inventory_.segment_start(plan_.snapshot.start_lsn); at < plan_.end_lsn;
         at += segment_bytes) {
      const auto timeline = search_.timeline_of(at);
      if (!timeline) {
        return fail(ErrorCode::outside_coverage, "WAL that was there a moment ago is gone: the segment at {}",
                    at);
      }
      plan_.segments.push_back({*timeline, at});
    }
    PGS_TRY(plan_.histories, list_timeline_histories(space_));
    std::ranges::sort(plan_.histories);
    return {};
  }

  // PostgreSQL does not start on a timeline without its history, so nothing on it is covered.
  [[nodiscard]] Error no_history(const Error& why) const {
    return make_error(why.code(), "the history of timeline {} cannot be used: {}", timeline_, why.describe())
        .with_hint(
            "`pgstrata stream` fetches one that is missing or damaged from the source when it begins; what "
            "lies before it can be restored with --timeline.");
  }

  // Damage of one snapshot's root: another may do. Anything else (no answer, no permission) is an error.
  Result<void> damage_is_passed_over(const std::string& id, const Error& error) {
    if (error.code() != ErrorCode::damaged && error.code() != ErrorCode::not_found)
      return std::unexpected(error);
    pass_over(id, error);
    return {};
  }
  void pass_over(const std::string& id, const Error& error) {
    plan_.warnings.push_back(fmt::format("snapshot {} is passed over: {}", id, error.describe()));
  }

  const ClusterSpace& space_;
  const RecoveryTarget& target_;
  TimelineId timeline_;
  const WalInventory& inventory_;
  const std::vector<TimelineStretch>& way_;
  WalSearch search_;
  std::vector<CoverageRange> ranges_;
  std::vector<CoverageRange> others_;
  std::vector<DamagedWal> damaged_wal_;
  bool current_ = false;  // the timeline
  std::optional<Error> history_damage_;
  bool only_damaged_snapshots_ = false;
  RecoveryPlan plan_;
};

}  // namespace

namespace {

// Recovery is to end on the timeline on which the plan's end lies: PostgreSQL would get there on a younger
// one, too, but then writes a history in which that one ends before it began. The segment in which the
// younger one left may be here only as the younger's; then it has to be that way.
Result<void> end_on_its_own_timeline(const ClusterSpace& space, const WalInventory& inventory,
                                     const std::vector<TimelineStretch>& way, RecoveryPlan& plan) {
  const auto own = std::ranges::find_if(way, [&](const auto& stretch) { return plan.end_lsn <= stretch.to; });
  if (own == way.end() || own->timeline == plan.timeline) return {};
  PGS_TRY(const auto own_way, timeline_ancestry(space, own->timeline));
  for (const auto& run : wal_runs(inventory, own_way)) {
    auto segments = plan.segments;
    for (auto& segment : segments) segment.timeline = run.timeline_of(segment.start).value_or(TimelineId{});
    if (std::ranges::find(segments, TimelineId{}, &RecoverySegment::timeline) != segments.end()) continue;
    PGS_TRY(const auto end, examine_run_end(space, inventory, run));
    if (end.bytes_end < plan.end_lsn) continue;
    plan.segments = std::move(segments);
    plan.timeline = own->timeline;
  }
  return {};
}

// A moment before the current timeline's way left the asked one is on both. The segment in which it did may be
// here only as the current one's.
Result<std::optional<RecoveryPlan>> plan_on_shared_way(const ClusterSpace& space, const Coverage& coverage,
                                                       const RecoveryTarget& target,
                                                       const WalInventory& inventory,
                                                       const Cancellation& cancellation) {
  PGS_TRY(const auto way, timeline_ancestry(space, *coverage.current_timeline));
  const auto shared = std::ranges::find(way, *target.timeline, &TimelineStretch::timeline);
  if (shared == way.end() || std::holds_alternative<LatestTarget>(target.point)) return std::nullopt;
  auto plan =
      Planner(space, coverage, target, *coverage.current_timeline, inventory, way, cancellation).plan();
  if (!plan) {
    if (plan.error().code() == ErrorCode::outside_coverage) return std::nullopt;
    return std::unexpected(std::move(plan).error());
  }
  if (plan->end_lsn > shared->to) return std::nullopt;
  PGS_CHECK(end_on_its_own_timeline(space, inventory, way, *plan));
  return std::optional(*std::move(plan));
}

// Coverage lists what a timeline shares with the current one under that one alone.
Result<Coverage> with_own_ranges(const ClusterSpace& space, const Coverage& coverage, TimelineId timeline,
                                 const WalInventory& inventory, const Cancellation& cancellation) {
  Coverage own = coverage;
  const auto unusable =
      std::ranges::find(coverage.damaged_histories, timeline, &Coverage::DamagedHistory::timeline);
  if (timeline == coverage.current_timeline || unusable != coverage.damaged_histories.end()) return own;
  PGS_TRY(auto ranges, ranges_of_timeline(space, inventory, coverage.snapshots, timeline, cancellation));
  std::erase_if(own.ranges, [&](const CoverageRange& range) { return range.timeline == timeline; });
  std::ranges::move(ranges, std::back_inserter(own.ranges));
  return own;
}

// A transaction or a restore point is looked for, not placed: one that is not on the asked timeline may be on
// another.
Error point_to_timeline(Error refusal, const ClusterSpace& space, const Coverage& coverage,
                        const RecoveryTarget& target, TimelineId asked, const WalInventory& inventory,
                        const Cancellation& cancellation) {
  if (!std::holds_alternative<XidTarget>(target.point) &&
      !std::holds_alternative<RestorePointTarget>(target.point)) {
    return refusal;
  }
  std::set<TimelineId> others;
  for (const auto& range : coverage.ranges) others.insert(range.timeline);
  others.erase(asked);
  for (const TimelineId other : others) {
    const auto way = timeline_ancestry(space, other);
    if (!way || !Planner(space, coverage, target, other, inventory, *way, cancellation).plan()) continue;
    return std::move(refusal).with_hint(fmt::format("Timeline {0} has it: use --timeline {0}.", other));
  }
  return refusal;
}

}  // namespace

Result<RecoveryPlan> plan_recovery(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                   const Coverage& coverage, const RecoveryTarget& target,
                                   const Cancellation& cancellation) {
  const auto current = coverage.current_timeline.value_or(TimelineId{1});
  const TimelineId timeline = target.timeline.value_or(current);
  PGS_TRY(auto inventory, WalInventory::load(space, wal_segment_bytes));
  PGS_CHECK(forget_mere_beginnings(space, inventory));
  PGS_TRY(const auto way, timeline_ancestry(space, timeline));
  PGS_TRY(const auto own, with_own_ranges(space, coverage, timeline, inventory, cancellation));
  auto plan = Planner(space, own, target, timeline, inventory, way, cancellation).plan();
  const bool refused = !plan && plan.error().code() == ErrorCode::outside_coverage;
  if (refused && timeline != current) {
    PGS_TRY(auto shared, plan_on_shared_way(space, coverage, target, inventory, cancellation));
    if (shared) return *std::move(shared);
  }
  if (refused) {
    return std::unexpected(point_to_timeline(std::move(plan).error(), space, coverage, target, timeline,
                                             inventory, cancellation));
  }
  if (!plan) return plan;
  if (!target.timeline) PGS_CHECK(check_left_timelines(space, inventory, coverage, way, *plan, cancellation));
  PGS_CHECK(end_on_its_own_timeline(space, inventory, way, *plan));
  return plan;
}

Result<RecoveryPlan> plan_recovery(const ClusterSpace& space, const ClusterRecord& cluster,
                                   const RecoveryTarget& target, const Cancellation& cancellation) {
  PGS_TRY(const auto coverage, compute_coverage(space, cluster.wal_segment_bytes, cancellation));
  return plan_recovery(space, cluster.wal_segment_bytes, coverage, target, cancellation);
}

Result<std::optional<Bytes>> history_for_recovery(const ClusterSpace& space, const RecoveryPlan& plan,
                                                  TimelineId timeline) {
  auto content = get_timeline_history(space, timeline);
  const bool replaceable =
      !content && content.error().code() == ErrorCode::damaged && timeline != plan.timeline;
  if (!replaceable) return content;
  log_warning("{}", content.error().describe());
  return std::optional(to_bytes("# damaged in the repository\n"));
}

namespace {

Result<void> read_through(const ClusterSpace& space, const WalInventory& inventory,
                          const RecoverySegment& segment, Lsn needed_to, const Cancellation& cancellation) {
  const auto* objects = inventory.find(segment.timeline, segment.start);
  if (objects == nullptr || objects->sealed.empty()) {
    PGS_CHECK(read_wal_segment(space, inventory, segment.timeline, segment.start, needed_to));
    return {};
  }
  PGS_TRY(auto reader, WalSegmentReader::open(space, objects->sealed));
  return reader.read([&](ByteView) { return cancellation.check(); });
}

// What recovery needs cannot be read.
Error damage_on_the_way(const ClusterSpace& space, const RecoveryPlan& plan, const DamagedWal& damaged) {
  auto error = make_error(ErrorCode::damaged, "{} needs WAL of timeline {} from {} on, which is damaged: {}",
                          describe(plan.target), damaged.timeline, damaged.from, damaged.error.describe());
  std::string hint = "`pgstrata verify` says what that costs.";
  const auto at = std::ranges::find(plan.segments, damaged.from, &RecoverySegment::start);
  if (at != plan.segments.begin() && at != plan.segments.end()) {
    const auto& before = *std::prev(at);
    auto reader =
        WalSegmentReader::open(space, wal_object_name(before.timeline, before.start, plan.wal_segment_bytes));
    const auto summary = reader ? reader->summary() : std::unexpected(reader.error());
    if (summary && summary->index.last_record_start >= plan.snapshot.consistent_lsn)
      hint += fmt::format(" `--lsn {}` restores all that comes before it.", summary->index.last_record_start);
  }
  return std::move(error).with_hint(std::move(hint));
}

}  // namespace

Result<std::optional<DamagedWal>> find_damaged_wal(const ClusterSpace& space, const RecoveryPlan& plan,
                                                   const Cancellation& cancellation) {
  PGS_TRY(auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  for (const auto& segment : plan.segments) {
    PGS_CHECK(cancellation.check());
    auto read = read_through(space, inventory, segment, plan.end_lsn, cancellation);
    if (!read && read.error().code() == ErrorCode::not_found) {
      // A stream has replaced what was listed.
      PGS_TRY(inventory, WalInventory::load(space, plan.wal_segment_bytes));
      read = read_through(space, inventory, segment, plan.end_lsn, cancellation);
    }
    if (read) continue;
    const auto code = read.error().code();
    if (code != ErrorCode::damaged && code != ErrorCode::not_found) return std::unexpected(read.error());
    return DamagedWal{segment.timeline, segment.start, std::move(read).error()};
  }
  return std::nullopt;
}

Result<RecoveryPlan> plan_sound_recovery(const ClusterSpace& space, const ClusterRecord& cluster,
                                         const RecoveryTarget& target, const Cancellation& cancellation) {
  PGS_TRY(auto coverage, compute_coverage(space, cluster.wal_segment_bytes, cancellation));
  std::vector<DamagedWal> damaged;
  for (;;) {
    PGS_TRY(auto plan, plan_recovery(space, cluster.wal_segment_bytes, coverage, target, cancellation));
    PGS_TRY(const auto found, find_damaged_wal(space, plan, cancellation));
    if (!found) return plan;
    const bool again = std::ranges::find(damaged, found->from, &DamagedWal::from) != damaged.end();
    if (again || !std::holds_alternative<LatestTarget>(target.point))
      return std::unexpected(damage_on_the_way(space, plan, *found));
    damaged.push_back(*found);
    PGS_TRY(auto rest, WalInventory::load(space, cluster.wal_segment_bytes));
    for (const auto& wal : damaged) rest.forget(wal.timeline, wal.from);
    PGS_TRY(const auto snapshots, list_whole_snapshots(space));
    PGS_TRY(coverage, compute_coverage(space, std::move(rest), snapshots, cancellation));
    coverage.damaged_wal.insert(coverage.damaged_wal.end(), damaged.begin(), damaged.end());
  }
}

}  // namespace pgstrata
