// WAL of one timeline out of the repository: sealed segments, then tails, as one run of bytes.
#pragma once

#include "catalog/timelines.h"
#include "catalog/wal_inventory.h"
#include "catalog/wal_segment.h"
#include "catalog/wal_tail.h"

namespace pgstrata {

// The whole of one segment, or as much of it as is there. A damaged tail is passed over when the others make
// up for it, or when there is all up to `needed_to` without what it has lost. Errors: not_found, damaged.
struct WalSegmentBytes {
  Lsn start;
  Bytes bytes;
  WalMark mark;         // the latest within the bytes; invalid when sealed
  Lsn durable_to = {};  // up to here a crash takes nothing away; the rest may not have been synced yet
};
Result<WalSegmentBytes> read_wal_segment(const ClusterSpace& space, const WalInventory& inventory,
                                         TimelineId timeline, Lsn segment_start, Lsn needed_to = no_end);

// Where a sealed segment ends, as its frame and its summary say: none of its WAL is read. Errors: not_found,
// damaged, newer_format.
Result<Lsn> end_of_sealed_wal(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                              Lsn segment_start);

// Hands out the bytes of [from, to), in order, until `use` returns false, `to`, or the end of what is there.
// `timeline_of` says which timeline to take a segment from, nothing where the way ends. Returns where it
// ended. Errors: damaged.
using UseWalBytes = std::function<Result<bool>(Lsn at, ByteView bytes)>;
using TimelineOfSegment = std::function<std::optional<TimelineId>(Lsn segment_start)>;
Result<Lsn> read_wal(const ClusterSpace& space, const WalInventory& inventory,
                     const TimelineOfSegment& timeline_of, Lsn from, Lsn to, const UseWalBytes& use);
// All from one timeline.
Result<Lsn> read_wal(const ClusterSpace& space, const WalInventory& inventory, TimelineId timeline, Lsn from,
                     Lsn to, const UseWalBytes& use);

}  // namespace pgstrata
