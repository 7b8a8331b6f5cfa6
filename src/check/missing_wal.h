// Holes in the WAL: what is not there between some that is. Internal to this room.
#pragma once

#include <vector>

#include "check/lost_coverage.h"

namespace pgstrata {

struct WalHole {
  MissingWal missing;
  LostCoverage behind;  // from where it begins to the end of the WAL behind it: lost unless it is healed
  bool operator==(const WalHole&) const = default;
};

// On the way to each timeline of which something can be read, behind the first snapshot there. What is broken
// is no hole, what retention let go is none, and what lies behind a hole and is broken from end to end was never more than its
// names.
// Errors: those of the store; cancelled.
Result<std::vector<WalHole>> find_wal_holes(const ClusterSpace& space, const SnapshotList& list,
                                            const WalInventory& inventory, const Breakage& broken,
                                            const Cancellation& cancellation);

}  // namespace pgstrata
