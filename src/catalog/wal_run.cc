#include "catalog/wal_run.h"

#include <algorithm>

#include "catalog/wal_reader.h"
#include "pg/format/wal_page.h"

namespace pgstrata {

namespace {

using Way = std::map<Lsn, TimelineStretch>;  // by segment start: the stretch to take it from

Way way_to(const WalInventory& inventory, const std::vector<TimelineStretch>& path) {
  Way way;
  for (const auto& stretch : path) {
    const auto segments = inventory.timelines().find(stretch.timeline);
    if (segments == inventory.timelines().end()) continue;
    // The segment in which a timeline begins holds its ancestor's bytes up to there.
    const Lsn first = inventory.segment_start(stretch.from);
    for (auto at = segments->second.lower_bound(first);
         at != segments->second.end() && at->first < stretch.to; ++at) {
      way.insert_or_assign(at->first, stretch);
    }
  }
  return way;
}

WalRunEnd end_of_sealed(const WalSegmentSummary& summary) {
  return {.timeline = summary.timeline,
          .bytes_end = summary.end_lsn,
          .records_end = std::max(summary.index.last_record_end, summary.start_lsn),
          .latest_transaction_end = summary.latest_transaction_end,
          .complete_until = summary.complete_until,
          .sent = summary.sent,
          .reaches_to = summary.reaches_to.valid() ? summary.reaches_to : summary.latest_transaction_end,
          .last_break = summary.last_break};
}

// What of the run's last segment is on the way.
Result<WalSegmentBytes> read_last_segment(const ClusterSpace& space, const WalInventory& inventory,
                                          const WalRun& run) {
  const auto& last = run.segments.back();
  PGS_TRY(auto content, read_wal_segment(space, inventory, last.timeline, last.start));
  if (run.left_at - content.start < content.bytes.size()) content.bytes.resize(run.left_at - content.start);
  if (content.mark.lsn > run.left_at) content.mark = {};
  return content;
}

// Reads the records of a segment that is not sealed or that the way leaves, from where the last whole record
// before it ended. `at` is the segment that is being read, also when that fails.
Result<WalRunEnd> end_by_records(const ClusterSpace& space, const WalInventory& inventory, const WalRun& run,
                                 Lsn& at) {
  const auto& last = run.segments.back();
  PGS_TRY(const auto content, read_last_segment(space, inventory, run));
  WalRunEnd end{.timeline = last.timeline,
                .bytes_end = content.start + content.bytes.size(),
                .records_end = last.start,
                .complete_until = content.mark.time,
                .sent = content.mark.time};

  Lsn from = last.start;
  Timestamp before_complete_until;
  if (run.segments.size() > 1) {
    at = run.segments[run.segments.size() - 2].start;
    PGS_TRY(const auto before, sealed_summary(space, inventory, run.segments[run.segments.size() - 2]));
    at = last.start;
    if (before) {
      end.latest_transaction_end = before->latest_transaction_end;
      end.last_break = before->last_break;
      end.reaches_to = before->reaches_to.valid() ? before->reaches_to : before->latest_transaction_end;
      if (!end.sent.valid()) end.sent = before->sent;
      // Another server's clock may be behind the one that marked its ancestor.
      if (before->timeline == last.timeline) before_complete_until = before->complete_until;
      end.complete_until = std::max(end.complete_until, before_complete_until);
      const bool behind_break = before->last_break.to == last.start;
      if (!behind_break) end.records_end = before->index.last_record_end;
      if (end.records_end.valid() && end.records_end < last.start) from = end.records_end;
    }
  }
  const Lsn page{from.value - from.value % wal_page_size};
  PGS_TRY(auto reader, WalRecordReader::create({.start = page,
                                                .segment_size_bytes = inventory.segment_bytes(),
                                                .major_version = 0,
                                                .system_identifier = {}}));
  WalIndexBuilder index(page);
  // A record that spans segments begins in an earlier one: read on from there. Bytes that are no WAL end it.
  // What is before it in that segment is read as well: damage there is to be known.
  if (page < last.start) {
    at = inventory.segment_start(page);
    PGS_TRY([[maybe_unused]] const auto read,
            read_wal(
                space, inventory, [&run](Lsn segment) { return run.timeline_of(segment); }, at, last.start,
                [&](Lsn start, ByteView bytes) -> Result<bool> {
                  const auto before = start < page ? std::min<std::uint64_t>(page - start, bytes.size()) : 0;
                  PGS_CHECK(reader.feed(bytes.subspan(before), index));
                  at = inventory.segment_start(start + bytes.size());
                  return true;
                }));
    at = last.start;
  }
  if (const auto fed = reader.feed(content.bytes, index); !fed) {
    end.damaged.push_back({last.timeline, reader.valid_to(), fed.error()});
    end.complete_until = before_complete_until;
  } else if (reader.ended()) {
    end.damaged.push_back(
        {last.timeline, reader.valid_to(), make_error(ErrorCode::damaged, "zeros where a record should be")});
    end.complete_until = before_complete_until;
  }
  end.records_end = std::max(end.records_end, reader.valid_to());
  const Timestamp last_end = index.seal_segment(end.bytes_end).last_end_time;
  end.latest_transaction_end = std::max(end.latest_transaction_end, last_end);
  const Timestamp bound = end.sent.valid() ? end.sent + believed_ahead : last_end;
  end.reaches_to = std::max({end.reaches_to, end.complete_until, std::min(last_end, bound)});
  return end;
}

Result<WalRunEnd> end_of(const ClusterSpace& space, const WalInventory& inventory, const WalRun& run,
                         Lsn& at) {
  at = run.segments.back().start;
  PGS_TRY(const auto sealed, sealed_summary(space, inventory, run.segments.back()));
  if (sealed && sealed->end_lsn <= run.left_at) return end_of_sealed(*sealed);
  return end_by_records(space, inventory, run, at);
}

// `run` ends with the segment in which that break was met.
Result<WalRunEnd> end_before_break(const ClusterSpace& space, const WalInventory& inventory,
                                   const WalRun& run, const WalBreak& at) {
  const Lsn ends = std::max(at.from, run.start);
  WalRunEnd end{.timeline = run.segments.back().timeline, .bytes_end = ends, .records_end = ends};
  end.damaged.push_back(
      {end.timeline, end.bytes_end, make_error(ErrorCode::damaged, "the source's own WAL is damaged there")});
  const auto take = [&](std::size_t from_back, const auto& use) -> Result<void> {
    if (run.segments.size() < from_back) return {};
    const auto summary = sealed_summary(space, inventory, run.segments[run.segments.size() - from_back]);
    if (summary && *summary) use(**summary);
    const bool passed_over = !summary && (summary.error().code() == ErrorCode::damaged ||
                                          summary.error().code() == ErrorCode::not_found);
    if (!summary && !passed_over) return std::unexpected(summary.error());
    return {};
  };
  PGS_CHECK(take(1, [&](const auto& met) {
    end.latest_transaction_end = met.latest_transaction_end;
    end.reaches_to = met.reaches_to.valid() ? met.reaches_to : met.latest_transaction_end;
  }));
  PGS_CHECK(take(2, [&](const auto& before) { end.last_break = before.last_break; }));
  return end;
}

}  // namespace

Result<std::optional<WalSegmentSummary>> sealed_summary(const ClusterSpace& space,
                                                        const WalInventory& inventory,
                                                        const WalRunSegment& segment) {
  const auto* objects = inventory.find(segment.timeline, segment.start);
  PGS_ASSERT(objects != nullptr);
  const auto& name = objects->sealed.empty() ? objects->partial : objects->sealed;
  if (name.empty()) return std::nullopt;
  PGS_TRY(auto reader, WalSegmentReader::open(space, name));
  PGS_TRY(auto summary, reader.summary());
  return summary;
}

std::optional<TimelineId> WalRun::timeline_of(Lsn segment_start) const {
  const auto segment = std::ranges::lower_bound(segments, segment_start, {}, &WalRunSegment::start);
  if (segment == segments.end() || segment->start != segment_start) return std::nullopt;
  return segment->timeline;
}

Result<void> forget_mere_beginnings(const ClusterSpace& space, WalInventory& inventory) {
  std::vector<WalRunSegment> mere;
  for (const auto& [timeline, segments] : inventory.timelines()) {
    const auto history = stored_history(space, timeline);
    if (!history && history.error().code() != ErrorCode::damaged) return std::unexpected(history.error());
    if (!history || history->ancestors.empty()) continue;
    const Lsn begun = history->ancestors.back().end;
    const auto* first = inventory.find(timeline, inventory.segment_start(begun));
    if (first == nullptr || !first->sealed.empty()) continue;
    const auto content = read_wal_segment(space, inventory, timeline, first->start);
    const auto code = content ? ErrorCode{} : content.error().code();
    if (!content && code != ErrorCode::damaged && code != ErrorCode::not_found)
      return std::unexpected(content.error());
    if (content && content->start + content->bytes.size() <= begun) mere.push_back({timeline, first->start});
  }
  for (const auto& segment : mere) inventory.forget(segment.timeline, segment.start);
  return {};
}

std::vector<WalRun> wal_runs(const WalInventory& inventory, const std::vector<TimelineStretch>& path) {
  std::vector<WalRun> runs;
  bool continues = false;
  Lsn expected;
  for (const auto& [start, stretch] : way_to(inventory, path)) {
    if (!continues || start != expected) runs.push_back({start, {}, {}});
    runs.back().segments.push_back({stretch.timeline, start});
    runs.back().left_at = stretch.to;
    expected = start + inventory.segment_bytes();
    // The rest of a segment in which the way leaves its timeline is in the next one's, and only there.
    continues = !inventory.find(stretch.timeline, start)->sealed.empty() && expected <= stretch.to;
  }
  return runs;
}

Result<WalRunEnd> examine_run_end(const ClusterSpace& space, const WalInventory& inventory,
                                  const WalRun& run) {
  WalRun rest = run;
  std::vector<DamagedWal> damaged;
  while (!rest.segments.empty()) {
    Lsn at;
    auto end = end_of(space, inventory, rest, at);
    if (end) {
      std::ranges::move(end->damaged, std::back_inserter(damaged));
      end->damaged = std::move(damaged);
      return end;
    }
    const auto code = end.error().code();
    if (code != ErrorCode::damaged && code != ErrorCode::not_found) return end;
    auto broken = std::ranges::find(rest.segments, at, &WalRunSegment::start);
    if (broken == rest.segments.end()) --broken;
    damaged.push_back({broken->timeline, broken->start, std::move(end).error()});
    rest.segments.erase(broken, rest.segments.end());
    rest.left_at = damaged.back().from;
  }
  return WalRunEnd{.timeline = run.segments.front().timeline,
                   .bytes_end = run.start,
                   .records_end = run.start,
                   .damaged = std::move(damaged)};
}

Result<std::vector<WalRunPart>> examine_run(const ClusterSpace& space, const WalInventory& inventory,
                                            const WalRun& run) {
  std::vector<WalRunPart> parts;
  PGS_TRY(auto end, examine_run_end(space, inventory, run));
  WalRun rest = run;
  // Breaks of a run that was continued after a gap lie before its start.
  while (end.last_break.to > rest.start) {
    const WalBreak at = end.last_break;
    parts.push_back({at.to, std::move(end)});
    std::erase_if(rest.segments, [&at](const WalRunSegment& segment) { return segment.start >= at.to; });
    PGS_TRY(end, end_before_break(space, inventory, rest, at));
  }
  parts.push_back({rest.start, std::move(end)});
  std::ranges::reverse(parts);
  return parts;
}

}  // namespace pgstrata
