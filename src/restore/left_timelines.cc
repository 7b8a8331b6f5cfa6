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

  // When the next timeline began; nothing when that is not here.
  Result<std::optional<Timestamp>> beginning(const Departure& departure) {
    WalSearch search(space_, inventory_, way_, cancellation_);
    const auto any = [](const auto&) { return true; };
    PGS_TRY(const auto first, search.find_first(searched(departure.at, plan_.end_lsn), any, any));
    if (!first || !first->timeline_change || first->timeline_change->to != departure.next)
      return std::nullopt;
    return first->timeline_change->time;
  }

  // The first commit that the way does not have.
  Result<std::optional<Timestamp>> first_commit_left_behind(const Departure& departure, Lsn end) {
    PGS_TRY(const auto left_way, timeline_ancestry(space_, departure.left));
    WalSearch search(space_, inventory_, left_way, cancellation_);
    PGS_TRY(const auto commit,
            search.find_first(
                searched(departure.at, end), [](const WalIndex& index) { return index.commits > 0; },
                [](const RecordFacts& facts) { return facts.transaction && facts.transaction->committed; }));
    if (!commit) return std::nullopt;
    return commit->transaction->time;
  }

  Result<void> check_time(const Departure& departure, Lsn end, Timestamp time) {
    PGS_TRY(const auto begun, beginning(departure));
    if (begun && *begun <= time) return {};
    PGS_TRY(const auto commit, first_commit_left_behind(departure, end));
    if (!commit || (plan_.target.inclusive ? *commit > time : *commit >= time)) return {};
    return std::unexpected(
        make_error(ErrorCode::outside_coverage,
                   "{} is a moment of timeline {}: timeline {} left it at {}, but began only later",
                   describe(plan_.target.point), departure.left, departure.next, departure.at)
            .with_hint(
                fmt::format("Timeline {0} had commits after {1} that timeline {2} never had: add "
                            "--timeline {0} for that moment with them, or --timeline {2} for the state "
                            "from which timeline {2} began.",
                            departure.left, departure.at, departure.next)));
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
