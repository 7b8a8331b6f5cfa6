// `prune`: what retention lets go is removed, and what interrupted work left.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/registered_cluster.h"
#include "retention/prune.h"

namespace pgstrata {

// What the settings say: a cluster's own policy takes the place of the general one as a whole.
struct RetentionPolicies {
  std::optional<RetentionPolicy> general;
  std::map<std::string, RetentionPolicy> by_cluster;

  // Without a window where there is none for it.
  [[nodiscard]] RetentionPolicy of(const std::string& cluster) const;
};

struct PrunedCluster {
  std::string name;
  RetentionPolicy policy;  // with the floor that holds: the highest there ever was
  PruneReport report;
};

// Of the named cluster, or of all. The floor of each policy is recorded in the repository and is never lowered. A cluster that
// cannot be pruned ends it. Errors: not_found; busy (another prune of it is under way); those of prune_cluster.
[[nodiscard]] Result<std::vector<PrunedCluster>> prune_repository(const Repository& repository,
                                                                  const std::optional<std::string>& cluster,
                                                                  const RetentionPolicies& policies,
                                                                  bool dry_run, const Clock& clock,
                                                                  const Cancellation& cancellation);

}  // namespace pgstrata
