// What the last chunk of a sealed WAL segment says. Pure encoding and decoding. Format: docs/formats/wal.md.
#pragma once

#include "base/types.h"
#include "pg/format/wal_index.h"

namespace pgstrata {

// Where WAL stops making sense, as its source has it, and the segment's start from which on it does again.
// Recovery does not get across.
struct WalBreak {
  Lsn from;  // the end of the last whole record
  Lsn to;    // not valid: there is no break
  auto operator<=>(const WalBreak&) const = default;
};

// A commit stamped later than that after what the source's clock is known to have said is not taken at its
// word: what is known may be the mark before it.
inline constexpr std::chrono::seconds believed_ahead{60};

struct WalSegmentSummary {
  SystemIdentifier system_identifier;
  TimelineId timeline;
  Lsn start_lsn;
  Lsn end_lsn;  // start + segment size, less for a partial one
  // The latest commit or abort seen since this timeline's WAL here began without a gap, this segment
  // included: clocks step back, so the last commit is not always the latest.
  Timestamp latest_transaction_end;
  WalIndex index;
  WalBreak last_break{};  // since then, too, this segment included
  // By the source's clock: when it sent the last byte; not valid when it did not say.
  Timestamp sent{};
  // The same as latest_transaction_end, but each commit counted as no later than believed_ahead after `sent`
  // of its segment: what the WAL may be said to reach to. Not valid as long as `sent` never was.
  Timestamp reaches_to{};
  // The time of the last mark (WalMark) on this timeline since then, this segment included, as far as the
  // source's clock has not stepped back behind it: nothing was committed up to it that is not here. Not valid
  // when there was none.
  Timestamp complete_until{};
};

[[nodiscard]] Bytes encode_wal_segment_summary(const WalSegmentSummary& summary);
// Errors: damaged, newer_format.
[[nodiscard]] Result<WalSegmentSummary> decode_wal_segment_summary(ByteView bytes);

}  // namespace pgstrata
