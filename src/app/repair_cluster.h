// `repair`: a cluster without what cannot be read any more.
#pragma once

#include "app/registered_cluster.h"
#include "check/repair.h"

namespace pgstrata {

struct RepairRequest {
  bool dry_run = false;  // reads, takes no lease and removes nothing
  std::function<void(const VerifyProgress&)> on_progress;
};

// Holds the leases `prune` and `backup` meanwhile, and the stream's where nobody else does. Damaged leases among
// them go first and are told with the rest. Errors: busy, naming who is at work; those of check/repair.h.
[[nodiscard]] Result<RepairReport> repair_registered_cluster(const RegisteredCluster& cluster,
                                                             const RepairRequest& request, const Clock& clock,
                                                             const Cancellation& cancellation);

}  // namespace pgstrata
