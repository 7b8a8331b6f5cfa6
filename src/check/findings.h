// All that an examination of a cluster finds, for who acts upon it: verify reports it, repair drops what is
// damaged for good. Internal to this room.
#pragma once

#include "check/pack_check.h"
#include "check/wal_check.h"

namespace pgstrata {

struct Findings {
  VerifyReport report;
  SnapshotList list;
  WalInventory inventory;
  PackCheck packs;
  WalEnds wal_ends;
  Breakage broken;   // all that cannot be read
  Breakage lasting;  // the part of it that no second try will mend, but for snapshots that lack WAL alone
  std::vector<LackingWal> lacking_wal;
};

// Errors: as verify_cluster.
Result<Findings> examine_cluster(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                 const VerifyOptions& options, const Cancellation& cancellation);

}  // namespace pgstrata
