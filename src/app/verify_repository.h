// `verify`: whether everything that is stored can be read.
#pragma once

#include <optional>

#include "app/registered_cluster.h"
#include "check/verify.h"

namespace pgstrata {

struct VerifiedCluster {
  std::string name;
  VerifyReport report;
};

struct VerifyOutcome {
  std::vector<DamagedObject> damaged_keys;
  std::vector<VerifiedCluster> clusters;
  // Clusters whose registration cannot be read: nothing of them could be looked at.
  std::vector<DamagedObject> unreadable_clusters;
  std::vector<std::string> foreign;  // beside the clusters, and none: left alone, when all are verified

  [[nodiscard]] bool sound() const;
};

// Of the named cluster, or of all. Damage is in the outcome. Errors: not_found, cancelled, those of the
// store.
[[nodiscard]] Result<VerifyOutcome> verify_repository(const Repository& repository,
                                                      const std::optional<std::string>& cluster,
                                                      const VerifyOptions& options,
                                                      const Cancellation& cancellation);

}  // namespace pgstrata
