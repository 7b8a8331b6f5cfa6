// Coverage: what can be restored, computed from what the repository holds and nothing else.
//
// A moment is covered when a snapshot lies before it and the WAL from that snapshot's start to the moment is
// there without a gap, along the timeline's ancestry. The times of a range are those of the WAL: from the
// snapshot's consistent time to the last moment the source is known to have committed nothing beyond the
// range.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "catalog/snapshot_record.h"
#include "catalog/timelines.h"
#include "catalog/wal_run.h"

namespace pgstrata {

struct CoverageRange {
  TimelineId timeline;  // the one the range ends on
  Lsn from_lsn;
  Lsn to_lsn;  // end of the last whole record
  Timestamp from_time;
  Timestamp to_time;        // the last moment known to be complete
  Timestamp source_time;    // by the source's clock, when the newest of it was sent; not valid when not known
  Timestamp last_commit;    // the latest stamp of a commit or abort in the range, be it from the future
  bool open_ended = false;  // it reaches the end of the WAL that is there: more may come
  std::vector<std::string> snapshots;  // ids, oldest first
};

struct Coverage {
  std::vector<CoverageRange> ranges;  // of the current timeline, oldest first, then of others
  // The newest that was not set aside and of which something is ours: whoever can write to the repository can
  // make up names.
  std::optional<TimelineId> current_timeline;
  std::uint64_t wal_stored_bytes = 0;
  std::vector<SnapshotRecord> snapshots;                 // the whole ones, oldest first
  std::vector<SnapshotList::Damaged> damaged_snapshots;  // those with missing packs among them
  // At the ends of what is there, and what bears the name of a timeline that is none of ours; more is
  // verify's to find.
  std::vector<DamagedWal> damaged_wal;
  struct DamagedHistory {
    TimelineId timeline;
    Error error;
  };
  std::vector<DamagedHistory> damaged_histories;  // or missing ones: nothing on those timelines is covered
};

// The range that the next commit will lengthen; none when the newest WAL follows no snapshot without a gap.
// Borrows from `coverage`.
[[nodiscard]] const CoverageRange* newest_range(const Coverage& coverage);

// Of the timelines that WAL is named after and of which something is ours, the one that the cluster is on
// (catalog/timelines.h); nothing without any.
// Errors: those of the store.
Result<std::optional<TimelineId>> current_timeline_with_wal(const ClusterSpace& space,
                                                            const WalInventory& inventory);

// Looks again, a few times, where a stream has replaced what was listed.
// Lists packs, opens snapshots' roots and, for each range, the WAL at its end. Errors: those of the store;
// cancelled; damaged WAL at a range's end shortens the range to what can be read.
Result<Coverage> compute_coverage(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                  const Cancellation& cancellation);

// The same from a chosen part of what there is: what would be covered if the rest were lost.
Result<Coverage> compute_coverage(const ClusterSpace& space, WalInventory inventory, const SnapshotList& list,
                                  const Cancellation& cancellation);

// What can be restored of `timeline` on its own way, oldest first, also where the current timeline's coverage
// has it. `inventory` is without mere beginnings. Errors: those of the
// store; cancelled; damaged (its history).
Result<std::vector<CoverageRange>> ranges_of_timeline(const ClusterSpace& space,
                                                      const WalInventory& inventory,
                                                      const std::vector<SnapshotRecord>& snapshots,
                                                      TimelineId timeline, const Cancellation& cancellation);

}  // namespace pgstrata
