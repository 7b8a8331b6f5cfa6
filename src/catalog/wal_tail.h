// A WAL tail: the newest bytes of the segment being received, durable within a second, before the segment is
// full. A journal (repo/sealed_journal.h) of two kinds of frame: bytes at an LSN, and marks. Format:
// docs/formats/wal.md. Name: wal/TIMELINE/SEGMENT.OFFSET-RANDOM.tail, where OFFSET is where in the segment it
// begins. A receiver that starts again in the middle of a segment writes what is there into a tail of its
// own, from the segment's start, and removes the others once that is durable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "codec/endian.h"
#include "repo/sealed_journal.h"

namespace pgstrata {

// "Everything the server had flushed at `time`, by its own clock, lies before `lsn`."
struct WalMark {
  Lsn lsn;
  Timestamp time;
};

// Belongs to one thread.
class WalTailWriter {
 public:
  // Errors: those of the store, here and below; after one of those every later call fails.
  static Result<WalTailWriter> create(const ClusterSpace& space, TimelineId timeline, Lsn start,
                                      std::uint32_t segment_bytes);
  // Follows what was appended before; stays within the segment.
  Result<void> append(ByteView bytes);
  Result<void> mark(const WalMark& mark);
  // What was appended so far is durable when this returns. Error: unsupported, on a store without journals.
  Result<void> sync();
  // The same, with one more frame, without bytes, which tells that all before it are durable. On a store without
  // journals nothing of the tail is there before, and it takes no more after it.
  Result<void> vouch();

  [[nodiscard]] Lsn end() const { return end_; }
  [[nodiscard]] std::size_t marks() const { return marks_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  WalTailWriter(JournalWriter journal, std::string name, Lsn start)
      : journal_(std::move(journal)), name_(std::move(name)), end_(start) {}

  JournalWriter journal_;
  std::string name_;
  Lsn end_;
  std::size_t marks_ = 0;
  ByteWriter frame_;
};

struct WalTailContent {
  struct Piece {
    Lsn start;
    Bytes bytes;
    [[nodiscard]] Lsn end() const { return start + bytes.size(); }
  };
  std::vector<Piece> pieces;    // by start, with holes between them; more than one only around damage
  std::vector<WalMark> marks;   // in the order in which they were written; of each LSN the last one
  Lsn durable_to;               // what is before it is known to be durable; invalid when nothing is
  std::optional<Error> damage;  // what had been durable here is lost in part
};

// Reads what of a tail is whole, also around damage. Errors: damaged (frames that are no tail's, or not in
// order); not_found; newer_format.
Result<WalTailContent> read_wal_tail(const ClusterSpace& space, std::string_view name);

}  // namespace pgstrata
