// The compliance floor of a cluster: what is younger is removed by no prune, whatever the settings of the machine that runs it
// say. Stored as the record `retention-floor`; it can be raised and never lowered. Who can remove objects of the store by
// other means is kept from it by the store alone.
#pragma once

#include <chrono>

#include "repo/repository.h"

namespace pgstrata {

// Zero where none was ever recorded. Error: damaged (then nothing is to be removed).
Result<std::chrono::seconds> get_retention_floor(const ClusterSpace& space);
// To at least `wanted`; what holds from now on. Durable when it returns. Errors: as above; busy (somebody else raises it).
Result<std::chrono::seconds> raise_retention_floor(const ClusterSpace& space, std::chrono::seconds wanted);

}  // namespace pgstrata
