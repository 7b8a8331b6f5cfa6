#include "capture/wal_resume.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/timelines.h"
#include "catalog/wal_reader.h"
#include "pg/format/timeline_history.h"

namespace pgstrata {

namespace {

// Looks for the record that reaches into the segment at `resume.segment_start`.
class RecordBeginning {
 public:
  RecordBeginning(const ClusterSpace& space, const WalInventory& inventory, WalResume& resume)
      : space_(space), inventory_(inventory), resume_(resume) {}

  // The segment that was read last, also when that failed.
  [[nodiscard]] Lsn reading() const { return reading_; }

  // Errors: damaged and those of the store.
  Result<void> find() {
    PGS_TRY(history_, stored_history(space_, resume_.timeline));
    Lsn from = resume_.segment_start;
    while (from.value >= inventory_.segment_bytes()) {
      const Lsn before{from.value - inventory_.segment_bytes()};
      reading_ = before;
      PGS_TRY(const auto summary, summary_of(before));
      if (!summary) break;
      if (from == resume_.segment_start) {
        resume_.latest_transaction_end = summary->latest_transaction_end;
        resume_.last_break = summary->last_break;
        resume_.sent = summary->sent;
        resume_.reaches_to = summary->reaches_to;
        // Another server's clock may be behind the one that marked its ancestor.
        if (summary->timeline == resume_.timeline) resume_.complete_until = summary->complete_until;
      }
      // No record reaches across a break.
      if (summary->last_break.to == from) break;
      const bool record_ends = summary->index.records > 0;
      from = record_ends ? summary->index.last_record_end : before;
      if (record_ends) break;
    }
    return read_from(from);
  }

 private:
  // Of an ancestor only one that is ours to its end: beyond where it was left it went another way.
  [[nodiscard]] const WalSegmentObjects* find_sealed(Lsn segment) const {
    const Lsn last_byte{segment.value + inventory_.segment_bytes() - 1};
    for (const auto timeline : {resume_.timeline, history_.timeline_at(last_byte)}) {
      const auto* objects = inventory_.find(timeline, segment);
      if (objects != nullptr && !objects->sealed.empty()) return objects;
    }
    return nullptr;
  }

  // Nothing when the segment is not sealed here.
  Result<std::optional<WalSegmentSummary>> summary_of(Lsn segment) const {
    const auto* objects = find_sealed(segment);
    if (objects == nullptr) return std::nullopt;
    PGS_TRY(auto reader, WalSegmentReader::open(space_, objects->sealed));
    PGS_TRY(auto summary, reader.summary());
    return std::optional(std::move(summary));
  }

  // At most a record long, but for the rest of its first segment.
  Result<void> read_from(Lsn from) {
    while (from < resume_.segment_start) {
      const Lsn segment = inventory_.segment_start(from);
      reading_ = segment;
      PGS_TRY(auto reader, WalSegmentReader::open(space_, find_sealed(segment)->sealed));
      Lsn at = segment;
      PGS_CHECK(reader.read([&](ByteView piece) -> Result<void> {
        const auto skip = std::min<std::uint64_t>(piece.size(), at < from ? from - at : 0);
        append(resume_.record_beginning, piece.subspan(skip));
        at += piece.size();
        return {};
      }));
      from = segment + inventory_.segment_bytes();
    }
    return {};
  }

  const ClusterSpace& space_;
  const WalInventory& inventory_;
  WalResume& resume_;
  TimelineHistory history_;
  Lsn reading_;
};

// Damage in what is behind us must not keep us from receiving: the index then misses one record.
Result<void> find_record_beginning(const ClusterSpace& space, const WalInventory& inventory,
                                   WalResume& resume) {
  RecordBeginning beginning(space, inventory, resume);
  auto found = beginning.find();
  if (found || found.error().code() != ErrorCode::damaged) return found;
  resume.record_beginning.clear();
  if (beginning.reading().valid()) resume.damaged = beginning.reading();
  log_error("{}; receiving goes on", found.error().describe());
  return {};
}

Result<std::optional<WalSegmentSummary>> summary_of_partial(const ClusterSpace& space,
                                                            const std::string& name) {
  auto reader = WalSegmentReader::open(space, name);
  auto summary = reader ? reader->summary() : std::unexpected(reader.error());
  if (summary) return std::optional(*std::move(summary));
  if (summary.error().code() == ErrorCode::damaged) return std::nullopt;
  return std::unexpected(std::move(summary).error());
}

// The segment in which the stretch of WAL ends that is to be continued.
WalSegmentObjects end_of_stretch(const WalInventory::Segments& segments, std::uint32_t segment_bytes,
                                 Lsn wanted) {
  auto segment = segments.begin();
  for (; std::next(segment) != segments.end(); ++segment) {
    const Lsn end = segment->first + segment_bytes;
    const bool continues = !segment->second.sealed.empty() && std::next(segment)->first == end;
    if (!continues && wanted.valid() && end > wanted) break;
  }
  return segment->second;
}

// Whether anything in it can be read; damage to a tail is looked at where it is read.
Result<bool> holds_wal(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline,
                       const WalSegmentObjects& objects) {
  if (!objects.sealed.empty()) {
    const auto reader = WalSegmentReader::open(space, objects.sealed);
    if (reader) return true;
    if (reader.error().code() == ErrorCode::damaged) return false;
    return std::unexpected(reader.error());
  }
  const auto content = read_wal_segment(space, inventory, timeline, objects.start);
  if (content) return !content->bytes.empty() || content->mark.time.valid();
  if (content.error().code() == ErrorCode::damaged) return true;
  return std::unexpected(content.error());
}

Result<std::optional<WalSegmentObjects>> last_that_holds_wal(const ClusterSpace& space,
                                                             const WalInventory& inventory,
                                                             TimelineId timeline, Lsn wanted) {
  auto segments = inventory.timelines().at(timeline);
  while (!segments.empty()) {
    auto last = end_of_stretch(segments, inventory.segment_bytes(), wanted);
    PGS_TRY(const bool holds, holds_wal(space, inventory, timeline, last));
    if (holds) return std::optional(std::move(last));
    log_warning("what bears the name of the segment of timeline {} at {} holds no WAL that can be read",
                timeline, last.start);
    segments.erase(last.start);
  }
  return std::nullopt;
}

// What a partial segment says of its end. One that is damaged says nothing.
Result<void> take_over_partial(const ClusterSpace& space, const WalSegmentObjects& objects,
                               WalResume& resume) {
  if (objects.partial.empty()) return {};
  PGS_TRY(const auto summary, summary_of_partial(space, objects.partial));
  if (!summary) return {};
  resume.sent = std::max(resume.sent, summary->sent);
  if (summary->complete_until > resume.mark.time && resume.position() >= summary->end_lsn)
    resume.mark = {summary->end_lsn, summary->complete_until};
  return {};
}

}  // namespace

Result<WalResume> begin_wal_at(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline,
                               Lsn segment_start) {
  WalResume resume;
  resume.timeline = timeline;
  resume.segment_start = segment_start;
  if (const auto* there = inventory.find(timeline, segment_start); there != nullptr) {
    for (const auto& tail : there->tails) resume.obsolete.push_back(tail.name);
    if (!there->partial.empty()) resume.obsolete.push_back(there->partial);
  }
  PGS_CHECK(find_record_beginning(space, inventory, resume));
  return resume;
}

Result<std::optional<WalResume>> find_wal_resume(const ClusterSpace& space, const WalInventory& inventory,
                                                 TimelineId timeline, Lsn wanted) {
  const auto segments = inventory.timelines().find(timeline);
  if (segments == inventory.timelines().end() || segments->second.empty()) return std::nullopt;
  PGS_TRY(const auto found, last_that_holds_wal(space, inventory, timeline, wanted));
  if (!found) return std::nullopt;
  const auto& last = *found;
  if (!last.sealed.empty()) {
    PGS_TRY(auto resume, begin_wal_at(space, inventory, timeline, last.start + inventory.segment_bytes()));
    return std::optional(std::move(resume));
  }
  PGS_TRY(auto resume, begin_wal_at(space, inventory, timeline, last.start));
  auto stored = read_wal_segment(space, inventory, timeline, last.start);
  if (stored) {
    resume.bytes = std::move(stored->bytes);
    resume.mark = stored->mark;
    if (resume.mark.time.valid()) resume.sent = resume.mark.time;
    PGS_CHECK(take_over_partial(space, last, resume));
  } else if (stored.error().code() == ErrorCode::damaged) {
    log_error("{}; the source is asked for the WAL from {} again", stored.error().describe(), last.start);
  } else {
    return std::unexpected(std::move(stored).error());
  }
  return std::optional(std::move(resume));
}

Result<void> remove_obsolete_tails(const ClusterSpace& space, const WalInventory& inventory) {
  for (const auto& [timeline, segments] : inventory.timelines()) {
    for (const auto& [start, segment] : segments) {
      if (segment.sealed.empty()) continue;
      for (const auto& tail : segment.tails) PGS_CHECK(space.store().remove(space.object_name(tail.name)));
      if (!segment.partial.empty()) PGS_CHECK(space.store().remove(space.object_name(segment.partial)));
    }
  }
  return {};
}

}  // namespace pgstrata
