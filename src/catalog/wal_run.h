// Runs: stretches of WAL without a hole, on the way to a timeline, and what is at the end of one. Used by
// coverage and by whoever must know which object holds which piece of that way.
#pragma once

#include <vector>

#include "catalog/timelines.h"
#include "catalog/wal_inventory.h"
#include "catalog/wal_segment_summary.h"

namespace pgstrata {

// One segment on the way: recovery takes it from the newest timeline of the way that has it, as PostgreSQL
// does.
struct WalRunSegment {
  TimelineId timeline;
  Lsn start;
};

struct WalRun {
  Lsn start;                            // a segment's start
  std::vector<WalRunSegment> segments;  // at least one; all but the last are sealed
  Lsn left_at;  // where the way leaves the last one's timeline: what it holds from there on is not on the way

  // For read_wal: the timeline to take that segment from.
  [[nodiscard]] std::optional<TimelineId> timeline_of(Lsn segment_start) const;
};

// The summary of a segment that is sealed, whole or up to the timeline's end; nothing when it is not. Errors:
// damaged, newer_format, not_found; those of the store.
Result<std::optional<WalSegmentSummary>> sealed_summary(const ClusterSpace& space,
                                                        const WalInventory& inventory,
                                                        const WalRunSegment& segment);

// A timeline's first segment begins with its ancestor's bytes. One that does not reach beyond them says
// nothing that the ancestor's does not, and less where that one is there whole: it is taken out of the
// inventory, as if nothing of its timeline were here yet. For whoever looks for what can be restored. Errors:
// those of the store.
Result<void> forget_mere_beginnings(const ClusterSpace& space, WalInventory& inventory);

[[nodiscard]] std::vector<WalRun> wal_runs(const WalInventory& inventory,
                                           const std::vector<TimelineStretch>& path);

// WAL that is there and cannot be used, and what follows it on that timeline.
struct DamagedWal {
  TimelineId timeline;
  Lsn from;
  Error error;
};

struct WalRunEnd {
  TimelineId timeline;
  Lsn bytes_end;                       // what is there
  Lsn records_end;                     // end of the last whole record
  Timestamp latest_transaction_end{};  // of the run; invalid when it holds none
  Timestamp complete_until{};          // by the last mark; invalid when there is none
  std::vector<DamagedWal> damaged{};   // what was left out at the end, newest first
  // By the source's clock, when the newest of it was sent, or up to when a mark says that it is complete; not
  // valid when that is not known.
  Timestamp sent{};
  // The last moment that it is said to reach to: by the last mark, else by the stamps of its transactions,
  // where they are not from the future.
  Timestamp reaches_to{};
  WalBreak last_break{};  // the part of the run that ends here begins behind it
};

// The parts of a run between which the source's own WAL is damaged, oldest first: at least one. The last may
// be without segments, when nothing is here behind the last such place.
struct WalRunPart {
  Lsn start;
  WalRunEnd end;
};
// Opens the last segments of each part. Errors: those of the store.
Result<std::vector<WalRunPart>> examine_run(const ClusterSpace& space, const WalInventory& inventory,
                                            const WalRun& run);

// Of the last part. Opens the last segments of the run; nothing counts that lies beyond where the way leaves
// them. One that is damaged is left out, and so is what follows it.
Result<WalRunEnd> examine_run_end(const ClusterSpace& space, const WalInventory& inventory,
                                  const WalRun& run);

}  // namespace pgstrata
