// Packs of which little is needed any more: what is needed is stored anew, in fresh packs, and the snapshots that reach it are
// published again, each under an id of its own that says which one it supersedes. The old ones and their packs then go as all
// else goes (retention/prune.h), so that who reads or publishes meanwhile is no worse off. Internal to this room.
#pragma once

#include "repo/lease.h"
#include "retention/prune_plan.h"

namespace pgstrata {

// A pack counts when less than this part of it is needed.
inline constexpr double mostly_dead_below = 0.5;
// All of it has to be worth it: that part of all packs' bytes.
inline constexpr double worthwhile_from = 0.05;

struct Compaction {
  std::uint64_t packs = 0;       // that are left
  std::uint64_t dead_bytes = 0;  // in them
  std::uint64_t snapshots = 0;   // published anew
};

// `holdings` are those of now, without anything that retention lets go. Packs that a snapshot under a hold reaches stay as they
// are. Errors: damaged, cancelled; those of `still_allowed`, which is asked before each publication; those of the store.
Result<Compaction> compact_packs(const ClusterSpace& space, const Holdings& holdings, const Clock& clock,
                                 const Cancellation& cancellation, const PublishingAllowed& still_allowed);

}  // namespace pgstrata
