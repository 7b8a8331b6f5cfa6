// Where receiving goes on, found in the repository alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/wal_inventory.h"
#include "catalog/wal_segment.h"
#include "catalog/wal_tail.h"

namespace pgstrata {

struct WalResume {
  TimelineId timeline;
  Lsn segment_start;
  Bytes bytes;                        // of the segment, from its start on, that are durable already
  WalMark mark;                       // the last one among them; invalid when there is none
  std::vector<std::string> obsolete;  // the objects that hold them: superfluous once the bytes are elsewhere

  // What of the WAL before belongs to a record that reaches into this segment; empty when there is none, or
  // nothing is known of it.
  Bytes record_beginning;
  Timestamp latest_transaction_end;  // in the WAL before this segment
  WalBreak last_break;               // as well
  Timestamp sent;                    // when its last byte was, or the mark; see WalSegmentSummary
  Timestamp reaches_to;
  Timestamp complete_until;

  // The start of a sealed segment before this one that was read and is damaged: what is here behind it follows
  // no snapshot before it.
  std::optional<Lsn> damaged;

  // Everything before it is durable.
  [[nodiscard]] Lsn position() const { return segment_start + bytes.size(); }
  [[nodiscard]] Lsn index_from() const { return {segment_start.value - record_beginning.size()}; }
};

// Where the WAL of `timeline` goes on. Of several stretches with gaps between them it is the first that does
// not end before `wanted` (what the source still keeps for us, if known), else the last. What bears a
// segment's name and holds nothing that can be read counts for nothing. Nothing when there is no WAL of it. A
// tail that is damaged is as good as none, with an error in the log: the source still has its segment.
// Errors: those of the store.
Result<std::optional<WalResume>> find_wal_resume(const ClusterSpace& space, const WalInventory& inventory,
                                                 TimelineId timeline, Lsn wanted);

// The beginning of a segment of which nothing is here. Errors: those of the store.
Result<WalResume> begin_wal_at(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline,
                               Lsn segment_start);

// Removes what a crash left behind: tails of segments that are sealed. Errors: those of the store.
Result<void> remove_obsolete_tails(const ClusterSpace& space, const WalInventory& inventory);

}  // namespace pgstrata
