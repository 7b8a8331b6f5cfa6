// `restore`: a cluster as it was, in a directory of its own.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "app/registered_cluster.h"
#include "restore/restore_cluster.h"
#include "restore/start_restored.h"

namespace pgstrata {

struct RestoreRequest {
  std::string cluster;
  std::string repository_location;  // absolute: recovery fetches its WAL from there
  RecoveryTarget target;
  std::filesystem::path directory;  // absolute
  std::vector<TablespaceMapping> tablespaces;
  bool delta = false;
  bool start = false;
  // Settings for the restored server, name and value, over what its configuration says.
  std::vector<std::pair<std::string, std::string>> settings;

  // Each may be empty; they must return soon.
  std::function<void(const RecoveryPlan&)> on_plan;
  std::function<void(const RestoreProgress&)> on_progress;
  std::function<void(const StartProgress&)> on_start_progress;
};

struct RestoreOutcome {
  RecoveryPlan plan;
  RestoredCluster restored;
  std::optional<StartedCluster> started;
  std::optional<Error> start_error;  // of start_restored: the files are complete all the same
};

// Nothing is written before the plan is made and, to start it, PostgreSQL is found: a target that cannot be
// reached leaves the directory as it is. Errors: usage, outside_coverage, cancelled (run it again to go on),
// those of restore_cluster and installation_for.
[[nodiscard]] Result<RestoreOutcome> restore_target(const Repository& repository,
                                                    const RestoreRequest& request,
                                                    const Cancellation& cancellation);

}  // namespace pgstrata
