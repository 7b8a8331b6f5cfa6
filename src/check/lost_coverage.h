// What damage takes from coverage: the ranges that the repository's names and roots promise, less those that
// can still be restored. Internal to this room.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check/verify.h"

namespace pgstrata {

// What turned out to be broken, or missing.
struct Breakage {
  std::set<std::string> snapshots;                // ids
  std::set<std::pair<TimelineId, Lsn>> segments;  // timeline and start of those that cannot be read
  std::set<TimelineId> histories;
  std::vector<LostCoverage> behind_holes;  // what follows no snapshot because WAL is missing
};

// Where the segments end that can be read.
using WalEnds = std::map<std::pair<TimelineId, Lsn>, Lsn>;

// Nothing counts that was never more than a name: what cannot be read and follows nothing that is whole.
// Where the end of lost WAL can no longer be read, to_lsn is the end of its segment and to_time is not valid;
// of a snapshot whose record cannot be read, from_lsn is not valid and from_time when the snapshot was begun.
Result<std::vector<LostCoverage>> find_lost_coverage(const ClusterSpace& space, SnapshotList list,
                                                     WalInventory inventory, const Breakage& broken,
                                                     const WalEnds& ends, const Cancellation& cancellation);

// Those ranges less what is covered after all.
std::vector<LostCoverage> less_what_is_covered(const ClusterSpace& space,
                                               const std::vector<LostCoverage>& lost, const Coverage& after);

}  // namespace pgstrata
