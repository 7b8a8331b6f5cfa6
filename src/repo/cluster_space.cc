#include <fmt/format.h>

#include "repo/cluster_folders.h"

namespace pgstrata {

ClusterSpace::ClusterSpace(ObjectStore& store, std::string name, const SecretKey& key)
    : store_(&store), name_(std::move(name)), key_(key) {}

std::string cluster_object_name(std::string_view cluster_name, std::string_view name) {
  return fmt::format("clusters/{}/{}", cluster_name, name);
}

std::string ClusterSpace::object_name(std::string_view name) const {
  return cluster_object_name(name_, name);
}

Result<std::vector<ObjectInfo>> ClusterSpace::list(std::string_view prefix) const {
  const std::size_t own_prefix_size = object_name("").size();
  PGS_TRY(auto objects, store_->list_all(object_name(prefix)));
  for (ObjectInfo& object : objects) object.name.erase(0, own_prefix_size);
  return objects;
}

Result<void> ClusterSpace::check_not_shredded() const {
  PGS_TRY(const bool has_key, has_cluster_key(*store_, name_));
  if (has_key) return {};
  return fail(ErrorCode::not_found, "cluster {} was shredded: its key is gone", name_);
}

SecretKey ClusterSpace::object_key(ByteView id, std::string_view purpose) const {
  return derive_key(key_, id, fmt::format("pgstrata {}", purpose));
}

SecretKey ClusterSpace::tag_key() const {
  return derive_key(key_, {}, "pgstrata content tag v1");
}

}  // namespace pgstrata
