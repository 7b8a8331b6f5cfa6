#include "catalog/wal_reader.h"

#include <algorithm>

#include "catalog/for_each_object.h"

namespace pgstrata {

namespace {

struct SealedSegment {
  WalSegmentReader reader;
  Lsn end;
};

Result<SealedSegment> open_sealed(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                                  Lsn start) {
  PGS_TRY(auto reader, WalSegmentReader::open(space, name));
  PGS_TRY(const auto summary, reader.summary());
  if (summary.timeline != timeline || summary.start_lsn != start) {
    return fail(ErrorCode::damaged, "{} holds other WAL than its name says", name);
  }
  return SealedSegment{std::move(reader), summary.end_lsn};
}

Error shorter_than_it_says(const std::string& name) {
  return make_error(ErrorCode::damaged, "{} is shorter than it says", name);
}

Result<WalSegmentBytes> read_sealed(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                                    Lsn start) {
  PGS_TRY(auto sealed, open_sealed(space, name, timeline, start));
  WalSegmentBytes segment{start, {}, {}};
  segment.bytes.reserve(sealed.end - start);
  PGS_CHECK(sealed.reader.read([&](ByteView piece) -> Result<void> {
    append(segment.bytes, piece);
    return {};
  }));
  if (start + segment.bytes.size() != sealed.end) return std::unexpected(shorter_than_it_says(name));
  segment.durable_to = sealed.end;
  return segment;
}

// The part of [from, to) that a sealed segment holds, piece by piece: no memory for all of it is taken. False
// when `use` has enough.
Result<bool> hand_out_sealed(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                             Lsn start, Lsn from, Lsn to, const UseWalBytes& use) {
  PGS_TRY(auto sealed, open_sealed(space, name, timeline, start));
  const Lsn end = std::min(to, sealed.end);
  for (Lsn at = from; at < end;) {
    const auto number = (at - start) / wal_piece_bytes;
    PGS_TRY(const auto piece, sealed.reader.read_piece(number));
    const auto before = std::min<std::size_t>(piece.size(), at - (start + number * wal_piece_bytes));
    const auto rest = ByteView(piece).subspan(before);
    if (rest.empty()) return std::unexpected(shorter_than_it_says(name));
    const auto wanted = rest.first(std::min<std::uint64_t>(rest.size(), end - at));
    PGS_TRY(const bool more, use(at, wanted));
    if (!more) return false;
    at += wanted.size();
  }
  return true;
}

using Pieces = std::vector<WalTailContent::Piece>;

// What the pieces hold from the segment's start on, without a hole.
Bytes without_hole(Lsn start, Pieces pieces) {
  std::ranges::sort(pieces, {}, &WalTailContent::Piece::start);
  Bytes bytes;
  for (auto& piece : pieces) {
    const Lsn end = start + bytes.size();
    if (piece.start > end) break;
    if (piece.end() <= end) continue;
    if (bytes.empty() && piece.start == start) {
      bytes = std::move(piece.bytes);
    } else {
      append(bytes, ByteView(piece.bytes).subspan(end - piece.start));
    }
  }
  return bytes;
}

// How far a partial segment reached, where that can still be read.
std::optional<Lsn> end_of_partial(const ClusterSpace& space, const std::string& name) {
  auto reader = WalSegmentReader::open(space, name);
  if (!reader) return std::nullopt;
  const auto summary = reader->summary();
  if (!summary) return std::nullopt;
  return summary->end_lsn;
}

// A damaged tail is no loss where others hold what it has lost: all up to the last byte it is known to have
// had, and something behind the damage.
bool made_good(const WalTailContent& tail, Lsn segment_start, Lsn end) {
  const Lsn whole_to = tail.pieces.empty() ? segment_start : tail.pieces.front().end();
  const Lsn known_to = tail.pieces.empty() ? segment_start : tail.pieces.back().end();
  return end > whole_to && end >= known_to;
}

Result<std::vector<WalTailContent>> read_each_tail(const ClusterSpace& space,
                                                   const WalSegmentObjects& objects) {
  std::vector<WalTailContent> contents;
  auto reads = for_each_object(
      space, objects.tails, [&space](const WalTailObject& tail) { return read_wal_tail(space, tail.name); });
  for (auto& read : reads) {
    PGS_TRY(auto content, std::move(read));
    contents.push_back(std::move(content));
  }
  return contents;
}

// What the unsealed objects of a segment hold from its start on. `partial` may be empty.
Result<WalSegmentBytes> read_tails(const ClusterSpace& space, const WalSegmentObjects& objects, Bytes partial,
                                   Lsn needed_to) {
  Pieces pieces;
  std::vector<std::pair<Lsn, Lsn>> durable{{objects.start, objects.start + partial.size()}};
  if (!partial.empty()) pieces.push_back({objects.start, std::move(partial)});
  std::vector<WalMark> marks;
  std::vector<WalTailContent> damaged;
  PGS_TRY(auto contents, read_each_tail(space, objects));
  for (auto& tail : contents) {
    marks.insert(marks.end(), tail.marks.begin(), tail.marks.end());
    if (!tail.pieces.empty()) durable.emplace_back(tail.pieces.front().start, tail.durable_to);
    if (tail.damage) {
      pieces.insert(pieces.end(), tail.pieces.begin(), tail.pieces.end());
      damaged.push_back(std::move(tail));
    } else {
      std::ranges::move(tail.pieces, std::back_inserter(pieces));
    }
  }
  WalSegmentBytes segment{objects.start, without_hole(objects.start, std::move(pieces)), {}};
  const Lsn end = segment.start + segment.bytes.size();
  for (const auto& tail : damaged) {
    if (end < needed_to && !made_good(tail, segment.start, end)) return std::unexpected(*tail.damage);
  }
  segment.durable_to = segment.start;
  std::ranges::sort(durable);
  for (const auto& [from, to] : durable) {
    if (from <= segment.durable_to) segment.durable_to = std::max(segment.durable_to, to);
  }
  for (const auto& mark : marks) {
    // One beyond a hole speaks of bytes that are not here.
    if (mark.lsn <= end && mark.time > segment.mark.time) segment.mark = mark;
  }
  return segment;
}

Result<WalSegmentBytes> read_objects(const ClusterSpace& space, TimelineId timeline,
                                     const WalSegmentObjects& objects, Lsn needed_to) {
  if (!objects.sealed.empty()) return read_sealed(space, objects.sealed, timeline, objects.start);
  if (objects.partial.empty()) return read_tails(space, objects, {}, needed_to);
  auto partial = read_sealed(space, objects.partial, timeline, objects.start);
  if (partial) return read_tails(space, objects, std::move(partial->bytes), needed_to);
  const auto end = end_of_partial(space, objects.partial);
  if (partial.error().code() != ErrorCode::damaged || !end) return partial;
  auto tails = read_tails(space, objects, {}, needed_to);
  const bool made_up_for = tails && tails->start + tails->bytes.size() >= std::min(*end, needed_to);
  return made_up_for ? std::move(tails) : std::move(partial);
}

}  // namespace

Result<Lsn> end_of_sealed_wal(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                              Lsn segment_start) {
  PGS_TRY(const auto sealed, open_sealed(space, name, timeline, segment_start));
  if (segment_start + sealed.reader.content_bytes() != sealed.end)
    return std::unexpected(shorter_than_it_says(name));
  return sealed.end;
}

Result<WalSegmentBytes> read_wal_segment(const ClusterSpace& space, const WalInventory& inventory,
                                         TimelineId timeline, Lsn segment_start, Lsn needed_to) {
  constexpr int looks_max = 3;
  const auto* objects = inventory.find(timeline, segment_start);
  std::optional<WalInventory> newer;
  for (int looks = 1; objects != nullptr; ++looks) {
    auto segment = read_objects(space, timeline, *objects, needed_to);
    if (segment || segment.error().code() != ErrorCode::not_found || looks == looks_max) return segment;
    // A stream is at work: since the listing it has sealed the segment, or put its tails together.
    PGS_TRY(newer, WalInventory::load_segment(space, inventory.segment_bytes(), timeline, segment_start));
    objects = newer->find(timeline, segment_start);
  }
  return fail(ErrorCode::not_found, "the repository holds no WAL of timeline {} at {}", timeline,
              segment_start);
}

namespace {

// The part of [from, to) that one segment holds. False when `use` has enough.
Result<bool> hand_out(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline,
                      Lsn start, Lsn from, Lsn to, const UseWalBytes& use) {
  const auto* objects = inventory.find(timeline, start);
  if (objects != nullptr && !objects->sealed.empty())
    return hand_out_sealed(space, objects->sealed, timeline, start, from, to, use);
  PGS_TRY(const auto segment, read_wal_segment(space, inventory, timeline, start, to));
  const Lsn end = std::min(to, start + segment.bytes.size());
  if (end <= from) return true;
  return use(from, ByteView(segment.bytes).subspan(from - start, end - from));
}

}  // namespace

Result<Lsn> read_wal(const ClusterSpace& space, const WalInventory& inventory,
                     const TimelineOfSegment& timeline_of, Lsn from, Lsn to, const UseWalBytes& use) {
  Lsn at = from;
  bool refused = false;
  const auto pass_on = [&](Lsn piece_start, ByteView bytes) -> Result<bool> {
    auto more = use(piece_start, bytes);
    refused = !more;
    if (more) at = piece_start + bytes.size();
    return more;
  };
  while (at < to) {
    const Lsn start = inventory.segment_start(at);
    const auto timeline = timeline_of(start);
    if (!timeline) return at;
    const auto more = hand_out(space, inventory, *timeline, start, at, to, pass_on);
    if (!more && !refused && more.error().code() == ErrorCode::not_found) return at;
    PGS_CHECK(more);
    if (!*more || at < start + inventory.segment_bytes()) return at;
  }
  return at;
}

Result<Lsn> read_wal(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline, Lsn from,
                     Lsn to, const UseWalBytes& use) {
  return read_wal(
      space, inventory, [timeline](Lsn) { return std::optional(timeline); }, from, to, use);
}

}  // namespace pgstrata
