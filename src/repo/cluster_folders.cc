#include "repo/cluster_folders.h"

#include <algorithm>

namespace pgstrata {

Result<bool> has_cluster_key(ObjectStore& store, std::string_view cluster_name) {
  const auto info = store.stat(cluster_object_name(cluster_name, cluster_key_name));
  if (info.has_value() || info.error().code() == ErrorCode::damaged) return true;
  if (info.error().code() == ErrorCode::not_found) return false;
  return std::unexpected(info.error());
}

Result<ClusterFolders> list_cluster_folders(ObjectStore& store) {
  ClusterFolders folders;
  std::string after;
  while (true) {
    PGS_TRY(const auto first, store.list(clusters_prefix, after, 1));
    if (first.empty()) break;
    const std::string_view below = std::string_view(first.front().name).substr(clusters_prefix.size());
    const std::string name(below.substr(0, below.find('/')));
    if (name == below || !check_cluster_name(name)) {
      folders.foreign.push_back(fmt::format("{}{}", clusters_prefix, name));
    } else {
      PGS_TRY(const bool has_key, has_cluster_key(store, name));
      (has_key ? folders.with_key : folders.without_key).push_back(name);
    }
    // "0" is the character after "/": on to what follows the last object of this folder.
    after = name == below ? first.front().name : fmt::format("{}{}0", clusters_prefix, name);
  }
  for (auto* names : {&folders.with_key, &folders.without_key, &folders.foreign}) std::ranges::sort(*names);
  return folders;
}

}  // namespace pgstrata
