#include "catalog/wal_reader.h"

#include <algorithm>

namespace pgstrata {

namespace {

Result<WalSegmentBytes> read_sealed(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                                    Lsn start) {
  PGS_TRY(auto reader, WalSegmentReader::open(space, name));
  PGS_TRY(const auto summary, reader.summary());
  if (summary.timeline != timeline || summary.start_lsn != start) {
    return fail(ErrorCode::damaged, "{} holds other WAL than its name says", name);
  }
  WalSegmentBytes segment{start, {}, {}};
  segment.bytes.reserve(summary.end_lsn - start);
  PGS_CHECK(reader.read([&](ByteView piece) -> Result<void> {
    append(segment.bytes, piece);
    return {};
  }));
  if (start + segment.bytes.size() != summary.end_lsn) {
    return fail(ErrorCode::damaged, "{} is shorter than it says", name);
  }
  return segment;
}

// What the tails of a segment hold from its start on, without a hole.
Result<WalSegmentBytes> read_tails(const ClusterSpace& space, const WalSegmentObjects& objects) {
  WalSegmentBytes segment{objects.start, {}, {}};
  for (const auto& object : objects.tails) {
    PGS_TRY(const auto tail, read_wal_tail(space, object.name));
    const Lsn end = segment.start + segment.bytes.size();
    const Lsn tail_end = tail.start + tail.bytes.size();
    if (tail.mark.time > segment.mark.time) segment.mark = tail.mark;
    if (tail.bytes.empty() || tail.start > end || tail_end <= end) continue;
    append(segment.bytes, ByteView(tail.bytes).subspan(end - tail.start));
  }
  return segment;
}

}  // namespace

Result<WalSegmentBytes> read_wal_segment(const ClusterSpace& space, const WalInventory& inventory,
                                         TimelineId timeline, Lsn segment_start) {
  const auto* objects = inventory.find(timeline, segment_start);
  if (objects == nullptr) {
    return fail(ErrorCode::not_found, "the repository holds no WAL of timeline {} at {}", timeline,
                segment_start);
  }
  if (!objects->sealed.empty()) return read_sealed(space, objects->sealed, timeline, segment_start);
  if (objects->partial.empty()) {
    auto segment = read_tails(space, *objects);
    if (segment || segment.error().code() != ErrorCode::not_found) return segment;
    // A stream is at work: it has sealed the segment since the listing, and its tails are gone.
    return read_sealed(space, wal_object_name(timeline, segment_start, inventory.segment_bytes()), timeline,
                       segment_start);
  }
  PGS_TRY(auto partial, read_sealed(space, objects->partial, timeline, segment_start));
  PGS_TRY(auto tails, read_tails(space, *objects));
  return tails.bytes.size() > partial.bytes.size() ? std::move(tails) : std::move(partial);
}

Result<Lsn> read_wal(const ClusterSpace& space, const WalInventory& inventory,
                     const TimelineOfSegment& timeline_of, Lsn from, Lsn to, const UseWalBytes& use) {
  Lsn at = from;
  while (at < to) {
    const Lsn start = inventory.segment_start(at);
    const auto timeline = timeline_of(start);
    if (!timeline) return at;
    auto segment = read_wal_segment(space, inventory, *timeline, start);
    if (!segment && segment.error().code() == ErrorCode::not_found) return at;
    if (!segment) return std::unexpected(std::move(segment).error());
    const Lsn end = std::min(to, start + segment->bytes.size());
    if (end <= at) return at;
    PGS_TRY(const bool more, use(at, ByteView(segment->bytes).subspan(at - start, end - at)));
    at = end;
    if (!more || end < start + inventory.segment_bytes()) return at;
  }
  return at;
}

Result<Lsn> read_wal(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline, Lsn from,
                     Lsn to, const UseWalBytes& use) {
  return read_wal(
      space, inventory, [timeline](Lsn) { return std::optional(timeline); }, from, to, use);
}

}  // namespace pgstrata
