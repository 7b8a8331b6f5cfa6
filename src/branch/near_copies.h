// What the branches of this machine keep of a repository that is far away: in the state folder, under
// STATE/cache/NAME, for each cluster of a repository and user (storage/near/near_store.h). It may be removed
// at any time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "repo/repository.h"
#include "storage/near/near_store.h"

namespace pgstrata {

// "pgstrata-0-5e...": what is shared by the branches of a cluster of a repository, and of this user, is
// called. Only who has the cluster's key can know it.
[[nodiscard]] std::string shared_name(const ClusterSpace& space);

// Over the space's store, which is borrowed; empty where that is near, or the state folder as far away. Makes the
// state folder where it is missing. Empty with a warning where that cannot be, and where somebody else may
// put something into the folder: what is removed and written there is to be ours.
[[nodiscard]] std::unique_ptr<NearStore> open_near_copies(const ClusterSpace& space,
                                                          const std::filesystem::path& state_directory);

}  // namespace pgstrata
