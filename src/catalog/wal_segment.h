// A sealed WAL segment: a pack of its bytes in pieces, and its index as the last chunk.
// Format: docs/formats/wal.md. Names, relative to the cluster's space:
//   wal/00000001/000000010000000000000003           the whole segment
//   wal/00000001/000000010000000000000003.partial   its beginning: the timeline ended in it
#pragma once

#include <memory>
#include <string>

#include "catalog/wal_segment_summary.h"
#include "repo/pack.h"

namespace pgstrata {

inline constexpr std::size_t wal_piece_bytes = 1U << 20;

// Writes one segment front to back. Belongs to one thread. Nothing is visible until commit. Each call may end
// with an error of the store; every later one fails then.
class WalSegmentWriter {
 public:
  static Result<WalSegmentWriter> create(const ClusterSpace& space, TimelineId timeline, Lsn start,
                                         std::uint32_t segment_bytes, const Clock& clock,
                                         int compression_level);
  // For the beginning of a segment in which its timeline ended: the object's name ends in ".partial". What is
  // known of such a segment before that is in its tails, which must stay until commit has returned.
  static Result<WalSegmentWriter> create_partial(const ClusterSpace& space, TimelineId timeline, Lsn start,
                                                 std::uint32_t segment_bytes, const Clock& clock,
                                                 int compression_level);
  // Pieces follow each other without a hole.
  Result<void> append(ByteView bytes);
  void set_compression_level(int level) { pack_.set_compression_level(level); }
  // Durable and visible when it returns. A segment that is already there with the same WAL stays and is no
  // error: two receivers of one timeline write the same bytes. Of two partial ones the longer stays. Whatever
  // else bears the name and does not authenticate goes, with a word in the log; what the disk only fails to
  // read stays. Errors: busy, when another receiver stores something else meanwhile: try again;
  // already_exists, when other WAL of ours bears the name: it was received from another history; damaged,
  // when the disk does not give back what bears the name; those of the store.
  Result<void> commit(const WalSegmentSummary& summary);

  [[nodiscard]] Lsn end() const { return end_; }

 private:
  struct Place {
    std::string name;
    bool partial;
    Lsn start;
    Lsn limit;
  };
  static Result<WalSegmentWriter> create_at(const ClusterSpace& space, Place place, const Clock& clock,
                                            int compression_level);
  WalSegmentWriter(const ClusterSpace& space, Place place, PackWriter pack);
  Result<void> write_piece(ByteView piece);
  struct Stored {
    WalSegmentSummary summary;
    std::uint32_t crc;  // of all bytes
  };
  // What bears the name already, read to its end; nothing when it does not authenticate: it is then removed.
  Result<std::optional<Stored>> take_stored();
  // Whether a partial segment is there that reaches as far as this one, and can be read.
  Result<bool> longer_partial_is_there();
  Result<void> commit_partial();
  Result<void> commit_whole(const WalSegmentSummary& summary);
  // Whether it is there already. Error: already_exists.
  Result<bool> same_segment_is_there(const WalSegmentSummary& summary);

  ClusterSpace space_;
  PackWriter pack_;
  Buffer piece_{wal_piece_bytes};
  Place place_;
  Lsn end_;
  std::uint32_t crc_;  // of the bytes so far
};

// Belongs to one thread.
class WalSegmentReader {
 public:
  // `name` as the inventory lists it. Errors: not_found, damaged, newer_format.
  static Result<WalSegmentReader> open(const ClusterSpace& space, std::string name);
  // With the pack's key alone: for recovery.
  static Result<WalSegmentReader> open_with_key(ObjectStore& store, std::string_view cluster,
                                                std::string name, const SecretKey& pack_key);

  Result<WalSegmentSummary> summary();
  // Of all its bytes, as its directory says.
  [[nodiscard]] std::uint64_t content_bytes() const;
  // All bytes of the segment, in order, piece by piece.
  Result<void> read(const std::function<Result<void>(ByteView piece)>& use);
  // Piece `number` of a whole segment: the bytes from number * wal_piece_bytes on. Errors: damaged; those of
  // the store.
  Result<Bytes> read_piece(std::size_t number);

 private:
  explicit WalSegmentReader(std::string name, PackReader pack)
      : name_(std::move(name)), pack_(std::move(pack)) {}

  std::string name_;
  PackReader pack_;
};

}  // namespace pgstrata
