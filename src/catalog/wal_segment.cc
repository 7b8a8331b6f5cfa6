#include "catalog/wal_segment.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/wal_inventory.h"
#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {

WalSegmentWriter::WalSegmentWriter(const ClusterSpace& space, Place place, PackWriter pack)
    : space_(space),
      pack_(std::move(pack)),
      place_(std::move(place)),
      end_(place_.start),
      crc_(crc32c_begin) {
  PGS_ASSERT(place_.start.value % (place_.limit - place_.start) == 0);
}

Result<WalSegmentWriter> WalSegmentWriter::create_at(const ClusterSpace& space, Place place,
                                                     const Clock& clock, int compression_level) {
  PGS_TRY(auto pack,
          PackWriter::create(space, PackKind::wal, new_pack_id(clock), place.name, compression_level));
  return WalSegmentWriter(space, std::move(place), std::move(pack));
}

Result<WalSegmentWriter> WalSegmentWriter::create(const ClusterSpace& space, TimelineId timeline, Lsn start,
                                                  std::uint32_t segment_bytes, const Clock& clock,
                                                  int compression_level) {
  auto name = wal_object_name(timeline, start, segment_bytes);
  return create_at(space, {std::move(name), false, start, start + segment_bytes}, clock, compression_level);
}

Result<WalSegmentWriter> WalSegmentWriter::create_partial(const ClusterSpace& space, TimelineId timeline,
                                                          Lsn start, std::uint32_t segment_bytes,
                                                          const Clock& clock, int compression_level) {
  auto name = wal_object_name(timeline, start, segment_bytes) + std::string(partial_wal_suffix);
  return create_at(space, {std::move(name), true, start, start + segment_bytes}, clock, compression_level);
}

Result<void> WalSegmentWriter::append(ByteView bytes) {
  PGS_ASSERT(bytes.size() <= place_.limit - end_);
  end_ += bytes.size();
  crc_ = crc32c_extend(crc_, bytes);
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), piece_.room()));
    piece_.append(part);
    bytes = bytes.subspan(part.size());
    if (piece_.room() > 0) continue;
    PGS_CHECK(write_piece(piece_.view()));
    piece_.resize(0);
  }
  return {};
}

// Without a tag. Nobody looks for WAL by its content, and recovery is given the keys of single packs: who can
// read contents and their tags side by side can compute the key of the cluster's tags.
Result<void> WalSegmentWriter::write_piece(ByteView piece) {
  PGS_CHECK(pack_.append(piece, ContentTag{}));
  return {};
}

Result<void> WalSegmentWriter::commit(const WalSegmentSummary& summary) {
  PGS_ASSERT(summary.end_lsn == end_ && summary.start_lsn == place_.start);
  if (!piece_.empty()) PGS_CHECK(write_piece(piece_.view()));
  PGS_CHECK(write_piece(encode_wal_segment_summary(summary)));
  return place_.partial ? commit_partial() : commit_whole(summary);
}

Result<std::optional<WalSegmentWriter::Stored>> WalSegmentWriter::take_stored() {
  const auto read = [&]() -> Result<Stored> {
    std::uint32_t crc = crc32c_begin;
    PGS_TRY(auto reader, WalSegmentReader::open(space_, place_.name));
    PGS_CHECK(reader.read([&](ByteView piece) -> Result<void> {
      crc = crc32c_extend(crc, piece);
      return {};
    }));
    PGS_TRY(auto summary, reader.summary());
    return Stored{std::move(summary), crc};
  };
  auto stored = read();
  if (stored) return std::optional(*std::move(stored));
  if (stored.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!is_lasting_damage(stored.error())) return std::unexpected(std::move(stored).error());
  log_error("{}; it makes room for the WAL that was received", stored.error().describe());
  PGS_CHECK(space_.store().remove(space_.object_name(place_.name)));
  return std::nullopt;
}

Result<bool> WalSegmentWriter::same_segment_is_there(const WalSegmentSummary& summary) {
  PGS_TRY(const auto stored, take_stored());
  if (!stored) return false;
  if (stored->summary.timeline == summary.timeline && stored->summary.start_lsn == summary.start_lsn &&
      stored->summary.end_lsn == summary.end_lsn && stored->crc == crc_) {
    return true;
  }
  return std::unexpected(
      make_error(ErrorCode::already_exists, "{} holds other WAL than was received",
                 space_.object_name(place_.name))
          .with_hint("Two servers may both go on with this timeline. Find out which of them is "
                     "to be kept; the other one's WAL has to be moved out of the repository."));
}

Result<void> WalSegmentWriter::commit_whole(const WalSegmentSummary& summary) {
  PGS_TRY(const bool there, same_segment_is_there(summary));
  if (there) return space_.store().make_names_durable(space_.object_name(place_.name));
  auto committed = pack_.commit();
  if (committed || committed.error().code() != ErrorCode::already_exists) return committed;
  PGS_TRY(const bool there_now, same_segment_is_there(summary));
  if (there_now) return {};
  return fail(ErrorCode::busy, "another receiver has stored {} meanwhile", place_.name);
}

// To its end: tails that can be read are removed for its sake.
Result<bool> WalSegmentWriter::longer_partial_is_there() {
  PGS_TRY(const auto stored, take_stored());
  return stored && stored->summary.end_lsn >= end_;
}

// Objects are never written over. What a shorter one holds is in the tails, too, so it can go first.
Result<void> WalSegmentWriter::commit_partial() {
  const auto object = space_.object_name(place_.name);
  PGS_TRY(const bool there, longer_partial_is_there());
  if (there) return space_.store().make_names_durable(object);
  PGS_CHECK(space_.store().remove(object));
  auto committed = pack_.commit();
  if (committed || committed.error().code() != ErrorCode::already_exists) return committed;
  PGS_TRY(const bool there_now, longer_partial_is_there());
  if (there_now) return {};
  return fail(ErrorCode::busy, "another receiver has stored {} meanwhile, and less of it", place_.name);
}

Result<WalSegmentReader> WalSegmentReader::open(const ClusterSpace& space, std::string name) {
  PGS_TRY(auto pack, PackReader::open(space, name, PackKind::wal));
  if (pack.directory().empty()) return fail(ErrorCode::damaged, "{} holds nothing", name);
  return WalSegmentReader(std::move(name), std::move(pack));
}

Result<WalSegmentReader> WalSegmentReader::open_with_key(ObjectStore& store, std::string_view cluster,
                                                         std::string name, const SecretKey& pack_key) {
  PGS_TRY(auto pack, PackReader::open_with_key(store, cluster, name, PackKind::wal, pack_key));
  if (pack.directory().empty()) return fail(ErrorCode::damaged, "{} holds nothing", name);
  return WalSegmentReader(std::move(name), std::move(pack));
}

Result<WalSegmentSummary> WalSegmentReader::summary() {
  const auto entry = pack_.directory().back();
  Bytes content(entry.content_size);
  PGS_CHECK(pack_.read(entry, content));
  return decode_wal_segment_summary(content).context(name_);
}

std::uint64_t WalSegmentReader::content_bytes() const {
  const auto pieces = std::span(pack_.directory()).first(pack_.directory().size() - 1);
  std::uint64_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.content_size;
  return bytes;
}

Result<void> WalSegmentReader::read(const std::function<Result<void>(ByteView piece)>& use) {
  const auto* last = &pack_.directory().back();
  return pack_.read_all([&](const PackDirectoryEntry& entry, ByteView content) -> Result<void> {
    return &entry == last ? Result<void>() : use(content);
  });
}

Result<Bytes> WalSegmentReader::read_piece(std::size_t number) {
  const auto& entries = pack_.directory();
  if (number + 1 >= entries.size()) return fail(ErrorCode::damaged, "{} has no piece {}", name_, number);
  Bytes content(entries[number].content_size);
  PGS_CHECK(pack_.read(entries[number], content));
  return content;
}

}  // namespace pgstrata
