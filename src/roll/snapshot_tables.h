// Which tables a snapshot holds, how many rows its server counted in each, and what they take: from the
// catalogs' files, without a server. An estimate: which transactions committed is not looked up, and what
// autovacuum has not counted yet is as it was. Internal to the room.
#pragma once

#include "base/cancellation.h"
#include "catalog/snapshot_record.h"

namespace pgstrata {

// Of all databases, in no order; without the system's own schemas, temporary tables, and unlogged ones, of which a
// snapshot has no rows. `snapshot` has its tree, but need not be published. Errors: damaged; cancelled; those of
// the store.
[[nodiscard]] Result<std::vector<SnapshotTable>> find_tables(const ClusterSpace& space,
                                                             const SnapshotRecord& snapshot,
                                                             const Cancellation& cancellation);

}  // namespace pgstrata
