// `add` of a cluster that is registered: where it is now.
#pragma once

#include "app/add_cluster.h"

namespace pgstrata {

// Registers `url` and, where one is named, the slot in the place of what is registered, after it has seen to
// the slot there; adds to the outcome's warnings. A stream that runs stays where it is. Errors: already_exists
// (the server is another cluster), failed (it is on a timeline that the cluster has left), busy (somebody
// else uses the slot, or changes the registration), those of the connection and the store.
[[nodiscard]] Result<void> move_cluster(const RegisteredCluster& cluster, const SourceFacts& facts,
                                        const ConnectionUrl& url, const std::optional<std::string>& slot,
                                        const Cancellation& cancellation, AddOutcome& outcome);

}  // namespace pgstrata
