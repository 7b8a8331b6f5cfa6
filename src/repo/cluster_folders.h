// Where a repository has its clusters. Internal to the room.
#pragma once

#include "repo/repository.h"

namespace pgstrata {

inline constexpr std::string_view clusters_prefix = "clusters/";
inline constexpr std::string_view cluster_key_name = "key";  // in a cluster's space

// What lies where clusters do, each sorted.
struct ClusterFolders {
  std::vector<std::string> with_key;
  std::vector<std::string> without_key;
  std::vector<std::string> foreign;
};
Result<ClusterFolders> list_cluster_folders(ObjectStore& store);

// What is damaged is there: whoever opens it says so.
Result<bool> has_cluster_key(ObjectStore& store, std::string_view cluster_name);

}  // namespace pgstrata
