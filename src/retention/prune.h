// Prune: removes what retention lets go and what nobody refers to, while others back up, stream, restore and branch, here or
// on other machines; nobody waits for it. Protocol: docs/decisions/0019-what-may-be-removed.md.
//
// A crash at any step leaves garbage, and a note of it that the next prune takes up.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "repo/lease.h"
#include "retention/pack_compaction.h"

namespace pgstrata {

struct PruneRequest {
  std::uint32_t wal_segment_bytes = 0;
  RetentionPolicy policy;
  bool dry_run = false;  // says what would go, and writes nothing
  const Clock& clock;
  const Cancellation& cancellation;
  PublishingAllowed still_allowed;  // asked before each snapshot's record goes; not on a dry run
};

// Of a far store without conditional writes, as Swift is, which may list a snapshot only a while after it was published.
inline constexpr const char* waits_for_listings = "listings";

struct PruneReport {
  PrunePlan plan;
  Coverage before;
  Compaction compaction;              // after that, where snapshots went
  std::uint64_t removed_objects = 0;  // also those of notes that earlier runs left
  std::uint64_t removed_bytes = 0;
  // Whose lease may still refer to what is condemned, or waits_for_listings: what is not removed yet waits for it, and for
  // the next prune. Empty: nothing waits.
  std::string waits_for;
};

// Errors: those of load_holdings, plan_prune and `still_allowed`; those of the store.
Result<PruneReport> prune_cluster(const ClusterSpace& space, const PruneRequest& request);

}  // namespace pgstrata
