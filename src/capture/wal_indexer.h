// Indexes WAL as it comes in, segment by segment: what changed, when transactions ended.
//
// WAL is kept whether or not it makes sense. Bytes that are no WAL records (a source whose own WAL is
// damaged) are reported once and noted as a break, and indexing goes on with the next segment. Belongs to one
// thread.
#pragma once

#include <optional>

#include "base/timestamp.h"
#include "catalog/wal_segment.h"
#include "pg/format/wal_index.h"
#include "pg/format/wal_reader.h"

namespace pgstrata {

struct WalIndexerOptions {
  std::uint32_t segment_bytes = 0;
  int server_major = 0;
  SystemIdentifier system_identifier;
  TimelineId timeline;
  Lsn segment_start;                 // of the first segment to be indexed
  Timestamp latest_transaction_end;  // known from the WAL before it
  WalBreak last_break;               // as well
  Timestamp reaches_to;              // as well: see WalSegmentSummary
};

class WalIndexer {
 public:
  // Bytes are fed from `from` on, which is segment_start or, before it, where a record that reaches into the
  // segment begins.
  WalIndexer(const WalIndexerOptions& options, Lsn from);

  // The next bytes; they stay within one segment.
  void feed(ByteView bytes);
  // What the segment that has been fed up to `end` holds; what follows belongs to the next. By the source's
  // clock and as far as known: when it sent the last byte, and the last mark up to there.
  [[nodiscard]] WalSegmentSummary seal(Lsn end, Timestamp sent, Timestamp complete_until);

 private:
  void start_reader(Lsn at);
  void give_up(const std::string& why, Lsn valid_to);

  WalIndexerOptions options_;
  Lsn position_;
  std::optional<WalRecordReader> reader_;  // nothing where the WAL has stopped making sense
  WalIndexBuilder builder_;
};

}  // namespace pgstrata
