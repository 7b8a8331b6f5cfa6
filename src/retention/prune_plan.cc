#include "retention/prune_plan.h"

#include <algorithm>
#include <functional>
#include <tuple>

namespace pgstrata {
namespace {

// Work that was interrupted is gone on with by the next run: what it left is not taken away before.
constexpr std::chrono::hours stray_grace{24};

// What a stream replaces while it is listed is there at the next look.
Result<void> load_wal(const ClusterSpace& space, std::uint32_t wal_segment_bytes, Holdings& holdings,
                      const Cancellation& cancellation) {
  constexpr int attempts = 5;
  for (int attempt = 1;; ++attempt) {
    PGS_TRY(holdings.inventory, WalInventory::load(space, wal_segment_bytes));
    PGS_TRY(holdings.coverage, compute_coverage(space, holdings.inventory, holdings.list, cancellation));
    const bool moved = std::ranges::any_of(holdings.coverage.damaged_wal, [](const DamagedWal& wal) {
      return wal.error.code() == ErrorCode::not_found;
    });
    if (!moved || attempt == attempts) return {};
  }
}

Timestamp newest_moment(const Holdings& holdings) {
  Timestamp newest;
  for (const auto& snapshot : holdings.list.snapshots) newest = std::max(newest, snapshot.consistent_time);
  for (const auto& range : holdings.coverage.ranges)
    newest = std::max({newest, range.to_time, range.source_time});
  return newest;
}

Result<void> check_held_are_there(const ClusterSpace& space, const Holdings& holdings) {
  std::set<std::string> there;
  for (const auto* records : {&holdings.list.snapshots, &holdings.incomplete}) {
    for (const auto& snapshot : *records) there.insert(snapshot.id);
  }
  for (const Hold& hold : holdings.holds) {
    // It may have been published since they were listed.
    if (there.contains(hold.snapshot) || space.store().stat(space.object_name("snapshots/" + hold.snapshot)))
      continue;
    return std::unexpected(
        make_error(ErrorCode::damaged,
                   "nothing is removed: hold {} ({}) keeps snapshot {}, which is not there", hold.id,
                   hold.reason, hold.snapshot)
            .with_hint(fmt::format(
                "Somebody took its record away. If nobody needs it, `pgstrata hold remove {} {}`.",
                space.name(), hold.id)));
  }
  return {};
}

class Planning {
 public:
  Planning(const ClusterSpace& space, const Holdings& holdings, const RetentionPolicy& policy)
      : space_(space),
        holdings_(holdings),
        policy_(policy),
        needs_(space, holdings.inventory.segment_bytes()) {
    for (const auto& snapshot : holdings.list.snapshots) {
      by_id_.emplace(snapshot.id, &snapshot);
      if (!snapshot.supersedes.empty()) superseded_by_[snapshot.supersedes] = snapshot.id;
    }
  }

  Result<PrunePlan> run(const Cancellation& cancellation) {
    if (policy_.window) {
      plan_.window_from = holdings_.now - std::max(*policy_.window, policy_.floor);
      PGS_CHECK(apply_spans());
      apply_newest();
      apply_calendar();
    }
    apply_holds();
    set_fates();
    choose_packs();
    if (policy_.window) PGS_CHECK(choose_segments());
    PGS_CHECK(foresee(cancellation));
    return std::move(plan_);
  }

 private:
  [[nodiscard]] const SnapshotRecord& snapshot(const std::string& id) const { return *by_id_.at(id); }

  void keep(std::string id, KeepRule rule) {
    // The same in other packs does as well.
    for (auto by = superseded_by_.find(id); by != superseded_by_.end(); by = superseded_by_.find(id))
      id = by->second;
    auto& rules = kept_[id];
    if (std::ranges::find(rules, rule) == rules.end()) rules.push_back(rule);
  }

  // From the last snapshot that is not younger than `from` on, every one is there for some second after `from`; of a range
  // that begins later, all. Nothing of a range that ended before, unless it is where the cluster's WAL goes on.
  [[nodiscard]] std::optional<std::size_t> first_for(const CoverageRange& range, Timestamp from) const {
    if (&range != last_range(holdings_.coverage) && range.to_time < from) return std::nullopt;
    std::size_t first = 0;
    for (std::size_t at = 0; at < range.snapshots.size(); ++at) {
      if (snapshot(range.snapshots[at]).consistent_time <= from) first = at;
    }
    return first;
  }

  void keep_from(Timestamp from, KeepRule rule) {
    for (const auto& range : holdings_.coverage.ranges) {
      const auto first = first_for(range, from);
      if (!first) continue;
      for (std::size_t at = *first; at < range.snapshots.size(); ++at) keep(range.snapshots[at], rule);
    }
  }

  void keep_first_for(Timestamp from, KeepRule rule) {
    for (const auto& range : holdings_.coverage.ranges) {
      if (const auto first = first_for(range, from)) keep(range.snapshots[*first], rule);
    }
  }

  Result<void> apply_spans() {
    keep_from(holdings_.now - std::min(policy_.every.value_or(*policy_.window), *policy_.window),
              KeepRule::window);
    keep_first_for(holdings_.now - *policy_.window, KeepRule::window);
    if (policy_.floor.count() > 0) keep_from(holdings_.now - policy_.floor, KeepRule::floor);
    for (const auto& range : holdings_.coverage.ranges) {
      PGS_TRY(const auto way, timeline_ancestry(space_, range.timeline));
      const auto first = first_for(range, plan_.window_from);
      if (!first) {
        for (const auto& stretch : way) raise(ended_[stretch.timeline], std::min(range.to_lsn, stretch.to));
        continue;
      }
      const Lsn start = snapshot(range.snapshots[*first]).start_lsn;
      const bool goes_on = &range == last_range(holdings_.coverage);
      PGS_CHECK(needs_.add(range.timeline, start, goes_on ? no_end : range.to_lsn));
      for (const auto& stretch : way) {
        const Lsn from = std::min(holdings_.inventory.segment_start(start), stretch.to);
        const auto [first_kept, is_new] = kept_from_.emplace(stretch.timeline, from);
        if (!is_new) first_kept->second = std::min(first_kept->second, from);
      }
    }
    set_horizons();
    return {};
  }

  static void raise(Lsn& horizon, Lsn to) { horizon = std::max(horizon, to); }

  // Segments that begin before it may go where nothing needs them; what lies behind belongs to the window, be it between two of
  // its ranges: what is missing there was lost, and is to be told.
  void set_horizons() {
    plan_.horizons = ended_;
    for (const auto& [timeline, from] : kept_from_) plan_.horizons[timeline] = from;
  }

  void apply_newest() {
    if (const auto* last = last_range(holdings_.coverage)) keep(last->snapshots.back(), KeepRule::newest);
  }

  // Of those that can be restored.
  void apply_calendar() {
    std::set<std::string> restorable;
    for (const auto& range : holdings_.coverage.ranges)
      restorable.insert(range.snapshots.begin(), range.snapshots.end());
    std::vector<std::string> ids(restorable.begin(), restorable.end());
    std::vector<Timestamp> times;
    for (const auto& id : ids) times.push_back(snapshot(id).consistent_time);
    const auto rules = keep_by_calendar(policy_, times, holdings_.now);
    for (std::size_t at = 0; at < ids.size(); ++at) {
      for (const KeepRule rule : rules[at]) keep(ids[at], rule);
    }
    for (const auto& [id, record] : by_id_) {
      if (!restorable.contains(id)) keep(id, KeepRule::damaged);
    }
    for (const auto& record : holdings_.incomplete) keep(record.id, KeepRule::damaged);
  }

  // Who reads it reads those very packs.
  void apply_holds() {
    for (const Hold& hold : holdings_.holds) {
      auto& rules = kept_[hold.snapshot];
      if (std::ranges::find(rules, KeepRule::hold) == rules.end()) rules.push_back(KeepRule::hold);
    }
  }

  void set_fates() {
    for (const auto* records : {&holdings_.list.snapshots, &holdings_.incomplete}) {
      for (const auto& record : *records) {
        SnapshotFate fate{record, kept_[record.id], 0};
        if (!policy_.window) fate.kept_by.insert(fate.kept_by.begin(), KeepRule::everything);
        plan_.snapshots.push_back(std::move(fate));
      }
    }
  }

  void choose_packs() {
    // Without any record all packs would be free: rather has somebody taken the records away.
    if (plan_.snapshots.empty()) return;
    std::set<PackId> reached;
    for (const auto& fate : plan_.snapshots) {
      if (!fate.kept_by.empty()) reached.insert(fate.snapshot.packs.begin(), fate.snapshot.packs.end());
    }
    std::map<PackId, SnapshotFate*> youngest;
    for (auto& fate : plan_.snapshots) {
      if (!fate.kept_by.empty()) continue;
      for (const PackId& pack : fate.snapshot.packs) youngest[pack] = &fate;
    }
    for (const auto& [pack, size_bytes] : holdings_.packs) {
      if (reached.contains(pack)) continue;
      const auto last = youngest.find(pack);
      if (last == youngest.end() && holdings_.clock_now - created(pack) < stray_grace) continue;
      plan_.packs.push_back(pack);
      plan_.pack_bytes += size_bytes;
      if (last != youngest.end()) {
        last->second->only_here_bytes += size_bytes;
      } else {
        ++plan_.stray_packs;
        plan_.stray_bytes += size_bytes;
      }
    }
  }

  Result<void> choose_segments() {
    for (const auto& fate : plan_.snapshots) {
      if (!fate.kept_by.empty()) PGS_CHECK(needs_.add(fate.snapshot));
    }
    for (const Hold& hold : holdings_.holds) PGS_CHECK(needs_.add(hold));
    for (const auto& [timeline, segments] : holdings_.inventory.timelines()) {
      for (const auto& [start, objects] : segments) {
        if (start >= plan_.horizons[timeline] || needs_.needs(timeline, start)) continue;
        plan_.segments.emplace(timeline, start);
        plan_.wal_bytes += objects.stored_bytes;
      }
    }
    return {};
  }

  Result<void> foresee(const Cancellation& cancellation) {
    if (plan_.doomed_snapshots().empty() && plan_.segments.empty()) {
      plan_.after = holdings_.coverage;
      return {};
    }
    SnapshotList kept;
    for (const auto& fate : plan_.snapshots) {
      const bool whole = by_id_.contains(fate.snapshot.id);
      if (whole && !fate.kept_by.empty()) kept.snapshots.push_back(fate.snapshot);
    }
    WalInventory inventory = holdings_.inventory;
    for (const auto& [timeline, start] : plan_.segments) inventory.forget(timeline, start);
    PGS_TRY(plan_.after, compute_coverage(space_, std::move(inventory), kept, cancellation));
    return check_kept(plan_, holdings_.coverage, plan_.after);
  }

  const ClusterSpace& space_;
  const Holdings& holdings_;
  const RetentionPolicy& policy_;
  WalNeeds needs_;
  PrunePlan plan_;
  std::map<std::string, const SnapshotRecord*> by_id_;  // the whole ones
  std::map<std::string, std::string> superseded_by_;
  WalHorizons kept_from_;  // the first segment of what reaches into the window
  WalHorizons ended_;      // where what ended before it does
  std::map<std::string, std::vector<KeepRule>> kept_;
};

}  // namespace

Result<Holdings> load_holdings(const ClusterSpace& space, std::uint32_t wal_segment_bytes, const Clock& clock,
                               const Cancellation& cancellation) {
  PGS_TRY(auto packs, list_packs(space));
  PGS_TRY(auto list, list_snapshots(space));
  PGS_TRY(auto holds, list_holds(space));
  PGS_CHECK(check_all_readable(space, list, holds));
  PGS_TRY(auto incomplete, set_aside_incomplete(space, list));
  PGS_TRY(auto inventory, WalInventory::load(space, wal_segment_bytes));
  Holdings holdings{.packs = std::move(packs),
                    .list = std::move(list),
                    .incomplete = std::move(incomplete),
                    .holds = {},
                    .ended_holds = {},
                    .inventory = std::move(inventory),
                    .coverage = {},
                    .now = {},
                    .clock_now = clock.now()};
  PGS_CHECK(load_wal(space, wal_segment_bytes, holdings, cancellation));
  holdings.now = std::min(holdings.clock_now, newest_moment(holdings));
  std::ranges::partition_copy(holds.holds, std::back_inserter(holdings.ended_holds),
                              std::back_inserter(holdings.holds),
                              [&](const Hold& hold) { return has_ended(hold, holdings.now); });
  PGS_CHECK(check_held_are_there(space, holdings));
  return holdings;
}

Result<void> check_all_readable(const ClusterSpace& space, const SnapshotList& list, const HoldList& holds) {
  if (!list.damaged.empty()) {
    const auto& damaged = list.damaged.front();
    return std::unexpected(
        make_error(
            ErrorCode::damaged,
            "nothing is removed: what snapshot {} needs is not known, for its record does not open: {}",
            damaged.id, damaged.error.describe())
            .with_hint(
                is_lasting_damage(damaged.error) || damaged.error.hint().empty()
                    ? fmt::format("`pgstrata repair {}` drops what can never be read again.", space.name())
                    : damaged.error.hint()));
  }
  if (!holds.damaged.empty()) {
    const auto& damaged = holds.damaged.front();
    return std::unexpected(make_error(ErrorCode::damaged,
                                      "nothing is removed: what hold {} keeps is not known: {}", damaged.id,
                                      damaged.error.describe())
                               .with_hint(fmt::format("If nobody needs it, `pgstrata hold remove {} {}`.",
                                                      space.name(), damaged.id)));
  }
  return {};
}

bool PrunePlan::empty() const {
  return packs.empty() && segments.empty() && doomed_snapshots().empty();
}

std::vector<std::string> PrunePlan::doomed_snapshots() const {
  std::vector<std::string> ids;
  for (const auto& fate : snapshots) {
    if (fate.kept_by.empty()) ids.push_back(fate.snapshot.id);
  }
  return ids;
}

Result<PrunePlan> plan_prune(const ClusterSpace& space, const Holdings& holdings,
                             const RetentionPolicy& policy, const Cancellation& cancellation) {
  return Planning(space, holdings, policy).run(cancellation);
}

const CoverageRange* last_range(const Coverage& coverage) {
  if (const auto* newest = newest_range(coverage)) return newest;
  const auto rank = [&coverage](const CoverageRange& range) {
    return std::tuple(range.timeline == coverage.current_timeline, range.to_time, range.to_lsn);
  };
  const auto last = std::ranges::max_element(coverage.ranges, {}, rank);
  return last == coverage.ranges.end() ? nullptr : &*last;
}

Result<void> check_kept(const PrunePlan& plan, const Coverage& before, const Coverage& now) {
  const auto lost = [](std::string what) {
    return fail(ErrorCode::failed, "retention would lose {}: nothing more is removed", what);
  };
  std::set<std::string> restorable;
  for (const auto& range : now.ranges) restorable.insert(range.snapshots.begin(), range.snapshots.end());
  for (const auto& snapshot : now.snapshots) {
    if (restorable.contains(snapshot.id)) restorable.insert(snapshot.supersedes);
  }
  for (const auto& range : before.ranges) {
    for (const auto& fate : plan.snapshots) {
      const auto& id = fate.snapshot.id;
      if (fate.kept_by.empty() || restorable.contains(id)) continue;
      if (std::ranges::find(range.snapshots, id) != range.snapshots.end()) return lost("snapshot " + id);
    }
    const bool goes_on = &range == last_range(before);
    if (!goes_on && (!plan.window_from.valid() || range.to_time < plan.window_from)) continue;
    const auto begin = std::max(range.from_time, plan.window_from);
    const auto same = std::ranges::find_if(now.ranges, [&](const CoverageRange& other) {
      return other.timeline == range.timeline && other.to_lsn >= range.to_lsn && other.from_time <= begin &&
             other.from_lsn <= range.to_lsn;
    });
    if (same == now.ranges.end())
      return lost(
          fmt::format("what can be restored from {} to {}", to_display(begin), to_display(range.to_time)));
  }
  return {};
}

Result<void> WalNeeds::add(TimelineId timeline, Lsn from, Lsn to) {
  auto way = ways_.find(timeline);
  if (way == ways_.end()) {
    PGS_TRY(auto ancestry, timeline_ancestry(space_, timeline));
    way = ways_.emplace(timeline, std::move(ancestry)).first;
  }
  for (const auto& stretch : way->second) {
    const Stretch needed{std::max(from, stretch.from), std::min(to, stretch.to)};
    if (needed.from < needed.to) needed_[stretch.timeline].push_back(needed);
  }
  return {};
}

Result<void> WalNeeds::add(const SnapshotRecord& snapshot) {
  return add(snapshot.timeline, snapshot.start_lsn, snapshot.consistent_lsn);
}

Result<void> WalNeeds::add(const Hold& hold) {
  return add(hold.timeline, hold.from_lsn, hold.to_lsn);
}

bool WalNeeds::needs(TimelineId timeline, Lsn segment_start) const {
  const auto stretches = needed_.find(timeline);
  if (stretches == needed_.end()) return false;
  return std::ranges::any_of(stretches->second, [&](const Stretch& needed) {
    return needed.from < segment_start + wal_segment_bytes_ && segment_start < needed.to;
  });
}

}  // namespace pgstrata
