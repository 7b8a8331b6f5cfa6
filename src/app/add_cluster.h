// `add`: registers a cluster.
#pragma once

#include "app/registered_cluster.h"
#include "app/source_check.h"

namespace pgstrata {

struct AddRequest {
  std::string cluster;
  std::string url;  // may hold a password; it is used now and kept nowhere
};

struct AddOutcome {
  std::vector<SourceRemark> problems;  // not empty: nothing was done
  std::vector<SourceRemark> warnings;
  ClusterRecord record;
  bool slot_reused = false;
};

// Checks the source, draws the cluster's key, makes the slot, registers the cluster: in this order, each step
// repeatable, so that a second run after a crash or an error finishes what the first began.
// Errors: already_exists (the cluster is registered), busy (somebody else uses the slot), usage, those of
// check_source.
[[nodiscard]] Result<AddOutcome> add_cluster(Repository& repository, const AddRequest& request,
                                             const Clock& clock, const Cancellation& cancellation);

// "pgstrata_my_app" for "my-app".
[[nodiscard]] std::string slot_name_of(std::string_view cluster);

}  // namespace pgstrata
