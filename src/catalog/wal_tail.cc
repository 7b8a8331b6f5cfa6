#include "catalog/wal_tail.h"

#include <algorithm>

#include "catalog/wal_inventory.h"
#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {

namespace {

enum class FrameKind : std::uint8_t { bytes = 1, mark = 2 };
constexpr std::size_t frame_payload_bytes = 1U << 20;  // of one `bytes` frame
constexpr std::size_t usual_segment_bytes = 16U << 20;

}  // namespace

Result<WalTailWriter> WalTailWriter::create(const ClusterSpace& space, TimelineId timeline, Lsn start,
                                            std::uint32_t segment_bytes) {
  const Lsn segment{start.value - start.value % segment_bytes};
  auto name = fmt::format("{}.{:08X}-{}.tail", wal_object_name(timeline, segment, segment_bytes),
                          start - segment, to_hex(random_bytes(4)));
  PGS_TRY(auto journal, JournalWriter::create(space, name));
  return WalTailWriter(std::move(journal), std::move(name), start);
}

Result<void> WalTailWriter::append(ByteView bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), frame_payload_bytes));
    frame_.clear();
    frame_.u8(static_cast<std::uint8_t>(FrameKind::bytes));
    frame_.u64(end_.value);
    frame_.bytes(part);
    PGS_CHECK(journal_.append(frame_.view()));
    end_ += part.size();
    bytes = bytes.subspan(part.size());
  }
  return {};
}

Result<void> WalTailWriter::mark(const WalMark& mark) {
  ByteWriter frame;
  frame.u8(static_cast<std::uint8_t>(FrameKind::mark));
  frame.u64(mark.lsn.value);
  frame.u64(static_cast<std::uint64_t>(mark.time.micros));
  ++marks_;
  return journal_.append(frame.view());
}

Result<void> WalTailWriter::sync() {
  return journal_.sync();
}

Result<void> WalTailWriter::vouch() {
  frame_.clear();
  frame_.u8(static_cast<std::uint8_t>(FrameKind::bytes));
  frame_.u64(end_.value);
  return journal_.vouch(frame_.view());
}

namespace {

Result<void> take_frame(WalTailContent& tail, ByteView frame, std::string_view name, bool beyond_damage) {
  ByteReader reader(frame);
  const auto kind = reader.u8();
  const Lsn lsn{reader.u64()};
  if (kind == static_cast<std::uint8_t>(FrameKind::mark)) {
    if (!tail.marks.empty() && tail.marks.back().lsn == lsn) tail.marks.pop_back();
    tail.marks.push_back({lsn, {static_cast<std::int64_t>(reader.u64())}});
    if (!reader.finished()) return fail(ErrorCode::damaged, "{}: a mark does not parse", name);
    return {};
  }
  if (kind != static_cast<std::uint8_t>(FrameKind::bytes) || reader.failed()) {
    return fail(ErrorCode::damaged, "{}: a frame of no known kind", name);
  }
  const bool follows = !tail.pieces.empty() && lsn == tail.pieces.back().end();
  if (!follows) {
    const bool hole = !tail.pieces.empty() && beyond_damage && lsn > tail.pieces.back().end();
    if (!tail.pieces.empty() && !hole) return fail(ErrorCode::damaged, "{}: frames do not follow", name);
    tail.pieces.push_back({lsn, {}});
    if (!hole) tail.pieces.back().bytes.reserve(usual_segment_bytes);  // it need not move as it grows
  }
  append(tail.pieces.back().bytes, reader.bytes(reader.remaining()));
  return {};
}

}  // namespace

Result<WalTailContent> read_wal_tail(const ClusterSpace& space, std::string_view name) {
  WalTailContent tail;
  bool understood = true;
  std::vector<Lsn> ends;  // of the bytes, after each frame
  const auto use = [&](bool beyond_damage) {
    return [&, beyond_damage](ByteView frame) -> Result<void> {
      auto taken = take_frame(tail, frame, name, beyond_damage);
      understood = taken.has_value();
      if (!beyond_damage) ends.push_back(tail.pieces.empty() ? Lsn() : tail.pieces.back().end());
      return taken;
    };
  };
  auto read = read_journal(space, name, use(false), use(true));
  if (!read && (!understood || read.error().code() != ErrorCode::damaged)) {
    return std::unexpected(std::move(read).error());
  }
  if (!read) tail.damage = std::move(read).error();
  if (read && *read > 0 && *read <= ends.size()) tail.durable_to = ends[*read - 1];
  return tail;
}

}  // namespace pgstrata
