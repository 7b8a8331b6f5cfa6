// The end of a cluster's space: its key first, by which it is shredded, then all else.
//
// Nothing here asks anybody: who else is at work, and whether it may be, is the caller's to know.
#pragma once

#include <functional>

#include "base/cancellation.h"
#include "repo/repository.h"

namespace pgstrata {

struct ObjectTally {
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
};

// Of all that lies in the cluster's space, its key included.
Result<ObjectTally> tally_cluster(ObjectStore& store, std::string_view cluster_name);

// The key is gone for good when this returns, also after a crash, and what it sealed with it; a missing one is no error.
// What holds copies of it is not asked: a bucket that keeps versions, copies of the repository.
Result<void> destroy_cluster_key(ObjectStore& store, std::string_view cluster_name);

enum class RemovedPart {
  all_but_leases,  // while they are held: their holder would write them again
  leases,
};
// What is left of a cluster whose key was destroyed. Errors: already_exists (it has a key); cancelled; those of the store.
// All can be repeated.
Result<ObjectTally> remove_cluster_objects(ObjectStore& store, std::string_view cluster_name,
                                           RemovedPart part, const Cancellation& cancellation,
                                           const std::function<void(const ObjectTally&)>& on_progress = {});

}  // namespace pgstrata
