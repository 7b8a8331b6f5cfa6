// What is wrong with a cluster's protection, and what to do. Codes are stable: docs/cli.md lists them.
#pragma once

#include "app/cluster_status.h"

namespace pgstrata {

// From everything else in `status`.
[[nodiscard]] std::vector<StatusProblem> find_problems(const ClusterStatus& status);
// Adds those of the repository itself.
void add_repository_problems(RepositoryStatus& status);

}  // namespace pgstrata
