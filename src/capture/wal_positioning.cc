#include "capture/wal_positioning.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "capture/source_timeline.h"
#include "capture/wal_fork.h"
#include "catalog/coverage.h"
#include "catalog/snapshot_record.h"

namespace pgstrata {

namespace {

constexpr int read_slot_since_major = 15;

}  // namespace

Lsn WalPositioning::segment_start(Lsn lsn) const {
  return {lsn.value - lsn.value % reception_.options.cluster.wal_segment_bytes};
}

Result<WalInventory> WalPositioning::inventory() {
  return reception_.repository(
      WalInventory::load_durable(reception_.options.space, reception_.options.cluster.wal_segment_bytes));
}

Result<std::optional<SlotState>> WalPositioning::read_slot() {
  if (connection_.server_major() < read_slot_since_major) return std::nullopt;
  return connection_.read_slot(reception_.options.cluster.slot);
}

Result<void> WalPositioning::make_slot() {
  auto made = connection_.create_physical_slot(reception_.options.cluster.slot);
  if (!made && made.error().code() == ErrorCode::already_exists) return {};
  return made;
}

Result<void> WalPositioning::remake_slot() {
  auto dropped = connection_.drop_slot(reception_.options.cluster.slot);
  if (!dropped && dropped.error().code() != ErrorCode::not_found) return dropped;
  return make_slot();
}

Result<void> WalPositioning::open_sink(const WalResume& resume) {
  const auto& options = reception_.options;
  const WalSinkOptions sink_options{.space = options.space,
                                    .segment_bytes = options.cluster.wal_segment_bytes,
                                    .server_major = connection_.server_major(),
                                    .system_identifier = options.cluster.system_identifier,
                                    .clock = options.clock,
                                    .still_allowed = options.still_allowed};
  reception_.sink.reset();
  PGS_TRY(auto sink, reception_.repository(WalSink::open(sink_options, resume)));
  PGS_CHECK(reception_.repository(sink->finish(std::nullopt)));
  reception_.sink = std::move(sink);
  reception_.report();
  return {};
}

Result<void> WalPositioning::make_current(TimelineId timeline) {
  const auto& space = reception_.options.space;
  PGS_CHECK(ensure_history(timeline));
  PGS_TRY(const auto stored, inventory());
  PGS_TRY(const auto histories, reception_.repository(list_timeline_histories(space)));
  std::set<TimelineId> known(histories.begin(), histories.end());
  for (const auto& [other, segments] : stored.timelines()) known.insert(other);
  return reception_.repository(make_timeline_current(space, timeline, known));
}

Result<std::optional<TimelineId>> WalPositioning::own_timeline(const WalInventory& stored,
                                                               const SystemIdentity& source) {
  const auto& space = reception_.options.space;
  PGS_TRY(const auto timeline, reception_.repository(current_timeline_with_wal(space, stored)));
  const auto standing = reception_.ever_streamed ? SourceStanding::registered : reception_.options.standing;
  if (!timeline || *timeline == source.timeline || standing == SourceStanding::registered) return timeline;
  if (standing == SourceStanding::declared) {
    log_warning("stream of {}: the server on timeline {} is taken for the primary; {} was on timeline {}",
                reception_.name(), source.timeline, reception_.name(), *timeline);
    PGS_CHECK(make_current(source.timeline));
    return reception_.repository(current_timeline_with_wal(space, stored));
  }
  PGS_TRY(const auto way, reception_.repository(timeline_ancestry(space, *timeline)));
  if (std::ranges::find(way, source.timeline, &TimelineStretch::timeline) != way.end())
    return std::unexpected(timeline_left(ErrorCode::failed, reception_.name(), source.timeline, *timeline));
  return std::unexpected(timeline_unproven(reception_.name(), source.timeline, *timeline));
}

Result<void> WalPositioning::go_back_to_damage(const WalInventory& stored, WalResume& resume) {
  if (!resume.damaged) return {};
  const auto& space = reception_.options.space;
  const Lsn behind = *resume.damaged + stored.segment_bytes();
  PGS_TRY(const auto list, list_snapshots(space));
  const bool healed = std::ranges::any_of(
      list.snapshots, [behind](const SnapshotRecord& snapshot) { return snapshot.start_lsn >= behind; });
  if (healed) return {};
  log_warning("stream of {}: the source is asked for the WAL from {} again", reception_.name(),
              *resume.damaged);
  PGS_TRY(resume, begin_wal_at(space, stored, resume.timeline, *resume.damaged));
  return {};
}

Result<void> WalPositioning::open(const SystemIdentity& source) {
  PGS_TRY(const auto stored, inventory());
  PGS_CHECK(reception_.repository(remove_obsolete_tails(reception_.options.space, stored)));
  PGS_TRY(auto slot, read_slot());
  PGS_TRY(const auto timeline, own_timeline(stored, source));
  if (timeline) {
    PGS_CHECK(ensure_history(*timeline));
    const bool known = slot && slot->timeline == *timeline;
    PGS_TRY(auto resume, reception_.repository(find_wal_resume(reception_.options.space, stored, *timeline,
                                                               known ? slot->restart_lsn : Lsn())));
    if (resume) PGS_CHECK(reception_.repository(go_back_to_damage(stored, *resume)));
    if (resume) return open_sink(*resume);
  }
  if (!slot && connection_.server_major() >= read_slot_since_major) {
    PGS_CHECK(make_slot());
    PGS_TRY(slot, read_slot());
  }
  const bool kept = slot && slot->restart_lsn.valid();
  const auto begun = kept && slot->timeline.valid() ? slot->timeline : source.timeline;
  return move_to(begun, kept ? slot->restart_lsn : source.flush_position);
}

Result<void> WalPositioning::move_to(TimelineId timeline, Lsn lsn) {
  const auto& space = reception_.options.space;
  PGS_CHECK(ensure_history(timeline));
  PGS_TRY(const auto stored, inventory());
  PGS_TRY(auto resume, reception_.repository(find_wal_resume(space, stored, timeline, lsn)));
  if (!resume || resume->position() < segment_start(lsn)) {
    PGS_TRY(resume, reception_.repository(begin_wal_at(space, stored, timeline, segment_start(lsn))));
  }
  return open_sink(*resume);
}

Result<WalPositioning::SourceHistory> WalPositioning::source_history(TimelineId timeline) {
  PGS_TRY(auto history, connection_.timeline_history(timeline));
  auto parsed = parse_timeline_history(timeline, as_text(history.content));
  if (parsed) return SourceHistory{std::move(history.content), *std::move(parsed)};
  return std::unexpected(
      make_error(ErrorCode::failed, "the source sent no history of timeline {}: {}", timeline,
                 parsed.error().describe())
          .with_hint(
              fmt::format("It is not stored. Look at {:08X}.history in the source's pg_wal, and at what is "
                          "between the source and here.",
                          timeline.value)));
}

Result<void> WalPositioning::store_history(TimelineId timeline) {
  if (timeline.value <= 1) return {};
  PGS_TRY(const auto history, source_history(timeline));
  return reception_.repository(put_timeline_history(reception_.options.space, timeline, history.content));
}

// Recovery asks for the history of the timeline it ends on, also of the one that the cluster was on when it
// was added.
Result<void> WalPositioning::ensure_history(TimelineId timeline) {
  const auto stored = get_timeline_history(reception_.options.space, timeline);
  if (stored && *stored) return {};
  if (!stored && stored.error().code() != ErrorCode::damaged) {
    return reception_.repository(Result<void>(std::unexpected(stored.error())));
  }
  return store_history(timeline);
}

// What follows may fail, and the next attempt may meet another server: it has to find the way anew.
Result<void> WalPositioning::end_timeline() {
  PGS_CHECK(reception_.repository(reception_.sink->end_timeline()));
  reception_.sink.reset();
  return {};
}

Result<void> WalPositioning::follow(const TimelineSwitch& end) {
  const auto& sink = *reception_.sink;
  if (sink.received() != end.switch_point) {
    return fail(ErrorCode::unavailable, "the source ended timeline {} at {}, but sent its WAL only up to {}",
                sink.timeline(), end.switch_point, sink.received());
  }
  log_info("stream of {}: timeline {} ended at {}; going on with timeline {}", reception_.name(),
           sink.timeline(), end.switch_point, end.next);
  PGS_CHECK(end_timeline());
  PGS_CHECK(store_history(end.next));
  PGS_CHECK(make_current(end.next));
  return move_to(end.next, end.switch_point);
}

Result<void> WalPositioning::recover(const WalLost& lost) {
  const auto& slot = reception_.options.cluster.slot;
  switch (lost.reason) {
    case WalLost::Reason::slot_missing:
      log_warning("stream of {}: the slot \"{}\" is gone from the source; it is made again",
                  reception_.name(), slot);
      return make_slot();
    case WalLost::Reason::slot_invalidated:
      log_warning("stream of {}: the source has given up the slot \"{}\" ({}); it is made again",
                  reception_.name(), slot, lost.message);
      return remake_slot();
    case WalLost::Reason::diverged:
      return follow_fork();
    case WalLost::Reason::segment_removed:
      return go_on_behind_gap(lost);
  }
  return {};
}

Result<TimelineHistory> WalPositioning::our_history() {
  const auto timeline = reception_.sink->timeline();
  auto history = stored_history(reception_.options.space, timeline);
  if (history || history.error().code() != ErrorCode::damaged) {
    return reception_.repository(std::move(history));
  }
  // What the source says of its own way is enough, unless it left ours before this timeline began.
  log_error("{}; the timelines before {} are not known", history.error().describe(), timeline);
  return TimelineHistory{timeline, {}};
}

Result<void> WalPositioning::follow_fork() {
  const auto& sink = *reception_.sink;
  PGS_TRY(const auto source, connection_.identify_system());
  TimelineHistory theirs{source.timeline, {}};
  if (source.timeline.value > 1) {
    PGS_TRY(auto history, source_history(source.timeline));
    theirs = std::move(history.parsed);
  }
  PGS_TRY(const auto ours, our_history());
  const auto fork = find_fork(ours, theirs);
  if (!fork) {
    return std::unexpected(
        timeline_left(ErrorCode::unavailable, reception_.name(), source.timeline, sink.timeline()));
  }
  log_warning(
      "stream of {}: timeline {} of the source left timeline {} at {}, before {}, up to which timeline {} "
      "was "
      "received; what lies between stays on that timeline, and the source's is followed",
      reception_.name(), fork->to, fork->from, fork->at, sink.received(), sink.timeline());
  PGS_CHECK(end_timeline());
  PGS_CHECK(store_history(fork->to));
  PGS_CHECK(make_current(fork->to));
  return move_to(fork->to, fork->at);
}

Result<void> WalPositioning::go_on_behind_gap(const WalLost& lost) {
  auto& sink = *reception_.sink;
  PGS_CHECK(reception_.repository(sink.finish(std::nullopt)));
  PGS_TRY(auto slot, read_slot());
  // What we confirmed may have set the slot back to where we are, although the WAL from there on was gone
  // already.
  if (!slot || !slot->restart_lsn.valid() || slot->restart_lsn <= sink.received()) {
    PGS_CHECK(remake_slot());
    PGS_TRY(slot, read_slot());
  }
  PGS_TRY(const auto source, connection_.identify_system());
  const bool kept = slot && slot->restart_lsn.valid();
  const auto timeline = kept && slot->timeline.valid() ? slot->timeline : source.timeline;
  const WalGap gap{sink.timeline(), sink.received(),
                   segment_start(kept ? slot->restart_lsn : source.flush_position), lost.message};
  if (gap.to <= gap.from) {
    return fail(ErrorCode::unavailable, "the source does not have the WAL that its slot should keep: {}",
                lost.message);
  }
  log_error(
      "stream of {}: the source has removed WAL that was not received: nothing between {} and {} can be "
      "restored, "
      "and what comes after only from a new base backup ({})",
      reception_.name(), gap.from, gap.to, lost.message);
  if (reception_.options.observer != nullptr) reception_.options.observer->wal_lost(gap);
  PGS_CHECK(store_history(timeline));
  PGS_CHECK(make_current(timeline));
  return move_to(timeline, gap.to);
}

}  // namespace pgstrata
