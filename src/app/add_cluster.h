// `add`: registers a cluster, or says where one that is registered is now.
#pragma once

#include "app/registered_cluster.h"
#include "app/source_check.h"

namespace pgstrata {

struct AddRequest {
  std::string cluster;
  std::string url;  // may hold a password; it is used now and kept nowhere
  // Nothing: slot_name_of the cluster, which must not be there yet; for a registered one its slot. A slot that
  // is named is taken over when it is there and nobody streams from it.
  std::optional<std::string> slot = {};
};

struct AddOutcome {
  std::vector<SourceRemark> problems;  // not empty: nothing was done
  std::vector<SourceRemark> warnings;
  ClusterRecord record;
  std::optional<ClusterRecord> before = {};  // what was registered until now, if the cluster was
  bool slot_reused = false;                  // it was there
};

// Checks the source, draws the cluster's key, makes the slot, registers the cluster: in this order, each step
// repeatable, so that a second run after a crash or an error finishes what the first began; once the slot was
// made, only one that names it: under the default name it may be another repository's, whose WAL it keeps.
// A cluster that is registered with another URL or slot is moved there (move_cluster).
// Errors: already_exists (the cluster is registered so), failed (the slot is there and was not named, or what
// the repository holds under that name is of another system), busy (somebody else uses the slot), usage,
// those of check_source and move_cluster.
[[nodiscard]] Result<AddOutcome> add_cluster(Repository& repository, const AddRequest& request,
                                             const Clock& clock, const Cancellation& cancellation);

// "pgstrata_my_app" for "my-app".
[[nodiscard]] std::string slot_name_of(std::string_view cluster);

}  // namespace pgstrata
