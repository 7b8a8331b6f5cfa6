// Repair: drops what cannot be read any more, and says exactly what was lost with it.
//
// All is authenticated first, what no root reaches too. What the beginning of a damaged tail holds and nothing else is
// written into a new one. Then goes, in this order: snapshots' records that do not
// open; those of snapshots that cannot be restored whole; packs that do not authenticate; WAL that cannot be read;
// marks of timelines set aside, and leases. Roots go before packs, so a crash at any step leaves at worst a damaged
// pack that nothing reaches, and a second repair finishes: what it finds is damaged still, or gone.
//
// Only damage that lasts counts: what is missing, and what was read and is wrong (is_lasting_damage), twice. What the
// disk does not give back this time, or a newer pgstrata wrote, stays and is told as kept. Never removed are
// a snapshot that can be restored, WAL that can be read, and what is not ours.
//
// A pack of which some chunks are damaged stays as long as a snapshot that stays names it: that one needs none of
// the damaged chunks, or it would have gone, and is worth more than a repository without blemish. verify goes on
// naming the pack. New backups take none of its damaged chunks over: they refer to what the snapshots that are
// there refer to, and read packs for more only where no snapshot names them (snapshot/chunk_store.h). So as long as
// a snapshot's record cannot be read for now, and nobody knows what it names, no pack goes, and no new backup should
// be made.
//
// A timeline's history that is damaged stays: a stream stores over it what the source has, and without it what is
// there of the timeline is as little use as with it. A mark or lease that is damaged counts as none, so it may go.
#pragma once

#include "check/verify.h"
#include "repo/lease.h"

namespace pgstrata {

struct DroppedObject {
  std::string name;  // in the store
  std::string what;  // how it is damaged, or why it is of no use any more
};

// Damaged, and there still.
struct KeptObject {
  std::string name;
  std::string what;                         // how it is damaged
  std::string why;                          // it stays, and what to do
  std::vector<std::string> snapshots = {};  // for whose sake, or that cannot be restored for now
};

// What of WAL could be read only around damage, and is in a tail of its own now.
struct RewrittenWal {
  TimelineId timeline;
  Lsn from_lsn;
  Lsn to_lsn;
  auto operator<=>(const RewrittenWal&) const = default;
};

struct LostSnapshot {
  std::string id;
  Timestamp consistent_time;  // not valid when its record could not be read
  Lsn consistent_lsn;         // as well
  std::string what;           // what of it is damaged
};

struct RepairOptions {
  bool dry_run = false;         // removes nothing
  bool stream_at_work = false;  // who removes does not hold the stream's lease: what a stream writes to stays
  unsigned workers = 0;         // 0: one per core
  std::function<void(const VerifyProgress&)> on_progress;  // from one thread at a time
  PublishingAllowed may_remove;                            // asked before each change
};

struct RepairReport {
  VerifyReport found;                  // before anything was removed
  std::vector<DroppedObject> dropped;  // in the order in which they went, or would go
  std::vector<RewrittenWal> rewritten_wal;
  std::vector<LostSnapshot> lost_snapshots;
  std::vector<LostCoverage> lost;  // of a dry run all of a segment that is to be written anew
  std::vector<KeptObject> kept;
  std::vector<MissingWal> missing_wal;  // afterwards, also where it is healed
  Coverage coverage;                    // afterwards: all that can be restored

  // Whether verify finds nothing afterwards.
  [[nodiscard]] bool sound() const {
    return kept.empty() && std::ranges::none_of(missing_wal, &std::string::empty, &MissingWal::healed_by);
  }
};

// Whoever calls it holds the cluster's leases `prune` and `backup`, so that nothing is published or pruned meanwhile.
// A stream may go on. Errors: those of a store that cannot be read or written; cancelled; those of may_remove;
// unavailable, when two looks at the same object do not agree: something between the disk and here is not to be
// trusted, and nothing was removed.
Result<RepairReport> repair_cluster(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                    const RepairOptions& options, const Cancellation& cancellation);

// A damaged lease can be taken by nobody, repair included: removes that one if it is damaged for good. Whoever holds
// it alive takes it again. What was removed, if anything. Errors: those of the store.
Result<std::optional<DroppedObject>> drop_damaged_lease(const ClusterSpace& space, std::string_view name);

}  // namespace pgstrata
