// Where retention has taken WAL away: of each timeline, before the horizon, only what snapshots and holds need is kept. What is
// missing there was let go; what is missing behind it was lost. Stored as the record `retention-horizon`; it only advances.
#pragma once

#include <map>

#include "base/types.h"
#include "repo/repository.h"

namespace pgstrata {

using WalHorizons = std::map<TimelineId, Lsn>;

// None where nothing was ever pruned. One that is damaged counts as none, with a word in the log: what is missing is then said
// to be lost. Errors: those of the store.
Result<WalHorizons> get_wal_horizons(const ClusterSpace& space);
// To at least these. Durable when it returns. Errors: busy (somebody else advances them); those of the store.
Result<void> advance_wal_horizons(const ClusterSpace& space, const WalHorizons& horizons);

// Whether WAL that is missing up to `to`, on that timeline, was let go.
[[nodiscard]] bool was_let_go(const WalHorizons& horizons, TimelineId timeline, Lsn to);

}  // namespace pgstrata
