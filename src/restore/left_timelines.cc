#include "restore/left_timelines.h"

#include <algorithm>

#include "restore/wal_search.h"

namespace pgstrata {
namespace {

// One place at which the way goes over to another timeline.
struct Departure {
  TimelineId left;
  TimelineId next;
  Lsn at;
};

class LeftTimelines {
 public:
  LeftTimelines(const ClusterSpace& space, const WalInventory& inventory, const Coverage& coverage,
                const std::vector<TimelineStretch>& way, RecoveryPlan& plan, const Cancellation& cancellation)
      : space_(space),
        inventory_(inventory),
        coverage_(coverage),
        way_(way),
        plan_(plan),
        cancellation_(cancellation) {}

  Result<void> check() {
    for (std::size_t i = 0; i + 1 < way_.size(); ++i) {
      const Departure departure{way_[i].timeline, way_[i + 1].timeline, way_[i].to};
      if (plan_.expected_end_lsn < departure.at) break;
      const auto end = left_behind(departure);
      if (!end) continue;
      if (const auto* time = std::get_if<TimeTarget>(&plan_.target.point)) {
        PGS_CHECK(check_time(departure, *end, time->time));
      } else if (const auto* lsn = std::get_if<LsnTarget>(&plan_.target.point)) {
        if (lsn->lsn > departure.at && lsn->lsn <= *end) warn_of_position(departure, lsn->lsn);
      } else if (std::holds_alternative<LatestTarget>(plan_.target.point)) {
        PGS_CHECK(warn_of_commits(departure, *end));
      }
    }
    return {};
  }

 private:
  // The end of what can be restored of the timeline that was left.
  [[nodiscard]] std::optional<Lsn> left_behind(const Departure& departure) const {
    std::optional<Lsn> end;
    for (const auto& range : coverage_.ranges) {
      if (range.timeline == departure.left && range.to_lsn > departure.at)
        end = std::max(end, {range.to_lsn});
    }
    return end;
  }

  [[nodiscard]] SearchedWal searched(Lsn from, Lsn to) const {
    return {from, to, static_cast<int>(plan_.snapshot.server_version / 10000)};
  }

  // When the next timeline began, by the record that says so; nothing when that is not here.
  Result<std::optional<Timestamp>> beginning(const Departure& departure) {
    WalSearch search(space_, inventory_, way_, cancellation_);
    PGS_TRY(const auto record, search.find_first(
                                   searched(departure.at, plan_.end_lsn), [](const auto&) { return true; },
                                   [&](const RecordFacts& facts) {
                                     return facts.timeline_change &&
                                            facts.timeline_change->to == departure.next;
                                   }));
    if (!record) return std::nullopt;
    return record->timeline_change->time;
  }

  // The first commit from a departure on, on the way of the timeline that was left or of the one that left it.
  Result<std::optional<Timestamp>> first_commit(const std::vector<TimelineStretch>& way, Lsn from, Lsn to) {
    WalSearch search(space_, inventory_, way, cancellation_);
    PGS_TRY(const auto commit,
            search.find_first(
                searched(from, to), [](const WalIndex& index) { return index.commits > 0; },
                [](const RecordFacts& facts) { return facts.transaction && facts.transaction->committed; }));
    if (!commit) return std::nullopt;
    return commit->transaction->time;
  }

  // A checkpoint says in whole seconds when a timeline began: anywhere in that second.
  static bool within_its_second(Timestamp begun, Timestamp time) {
    return begun.micros % 1'000'000 == 0 && begun <= time && time < begun + std::chrono::seconds(1);
  }

  Result<void> check_time(const Departure& departure, Lsn end, Timestamp time) {
    PGS_TRY(const auto begun, beginning(departure));
    const bool uncertain = begun && within_its_second(*begun, time);
    if (begun && *begun <= time && !uncertain) return {};
    if (uncertain) {
      PGS_TRY(const auto gained, first_commit(way_, departure.at, plan_.end_lsn));
      if (gained && *gained <= time) return {};
    }
    PGS_TRY(const auto left_way, timeline_ancestry(space_, departure.left));
    PGS_TRY(const auto lost, first_commit(left_way, departure.at, end));
    if (!lost || (plan_.target.inclusive ? *lost > time : *lost >= time)) return {};
    return std::unexpected(
        make_error(ErrorCode::outside_coverage,
                   "{} {} a moment of timeline {}: timeline {} left it at {}, but began {}",
                   describe(plan_.target), uncertain ? "may be" : "is", departure.left, departure.next,
                   departure.at, uncertain ? "only within that second" : "only later")
            .with_hint(
                fmt::format("Timeline {0} had commits after {1} that timeline {2} never had: add "
                            "--timeline {0} for that moment with them, or --timeline {2} for the state "
                            "from which timeline {2} began.",
                            departure.left, departure.at, departure.next)));
  }

  Result<void> warn_of_commits(const Departure& departure, Lsn end) {
    PGS_TRY(const auto left_way, timeline_ancestry(space_, departure.left));
    PGS_TRY(const auto lost, first_commit(left_way, departure.at, end));
    if (!lost) return {};
    plan_.warnings.push_back(fmt::format(
        "timeline {0}, which was left at {1}, has commits after that, from {2} on, which timeline {3} "
        "never had: add --timeline {0} if those are meant",
        departure.left, departure.at, *lost, departure.next));
    return {};
  }

  void warn_of_position(const Departure& departure, Lsn lsn) {
    plan_.warnings.push_back(fmt::format(
        "timeline {0}, which was left at {1}, has WAL at {2} as well: add --timeline {0} if that is meant",
        departure.left, departure.at, lsn));
  }

  const ClusterSpace& space_;
  const WalInventory& inventory_;
  const Coverage& coverage_;
  const std::vector<TimelineStretch>& way_;
  RecoveryPlan& plan_;
  const Cancellation& cancellation_;
};

}  // namespace

Result<void> check_left_timelines(const ClusterSpace& space, const WalInventory& inventory,
                                  const Coverage& coverage, const std::vector<TimelineStretch>& way,
                                  RecoveryPlan& plan, const Cancellation& cancellation) {
  return LeftTimelines(space, inventory, coverage, way, plan, cancellation).check();
}

}  // namespace pgstrata
