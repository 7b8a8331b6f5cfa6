#include "repo/cluster_removal.h"

#include "repo/cluster_folders.h"

namespace pgstrata {
namespace {

constexpr std::size_t list_page = 100;

// A cluster of that name that was added since must not lose what is its own.
Result<void> check_no_key(ObjectStore& store, std::string_view cluster_name) {
  PGS_TRY(const bool has_key, has_cluster_key(store, cluster_name));
  if (!has_key) return {};
  return fail(ErrorCode::already_exists, "cluster {} has a key: its objects are not removed", cluster_name);
}

}  // namespace

Result<ObjectTally> tally_cluster(ObjectStore& store, std::string_view cluster_name) {
  PGS_TRY(const auto objects, store.list_all(cluster_object_name(cluster_name, "")));
  ObjectTally tally;
  for (const ObjectInfo& object : objects) {
    ++tally.objects;
    tally.bytes += object.size_bytes;
  }
  return tally;
}

Result<void> destroy_cluster_key(ObjectStore& store, std::string_view cluster_name) {
  return store.remove(cluster_object_name(cluster_name, cluster_key_name));
}

Result<ObjectTally> remove_cluster_objects(ObjectStore& store, std::string_view cluster_name,
                                           RemovedPart part, const Cancellation& cancellation,
                                           const std::function<void(const ObjectTally&)>& on_progress) {
  const std::string leases = cluster_object_name(cluster_name, "leases/");
  const std::string prefix = part == RemovedPart::leases ? leases : cluster_object_name(cluster_name, "");
  ObjectTally removed;
  std::string after;
  while (true) {
    PGS_CHECK(cancellation.check());
    PGS_CHECK(check_no_key(store, cluster_name));
    PGS_TRY(const auto page, store.list(prefix, after, list_page));
    for (const ObjectInfo& object : page) {
      if (part == RemovedPart::all_but_leases && object.name.starts_with(leases)) continue;
      PGS_CHECK(store.remove(object.name));
      ++removed.objects;
      removed.bytes += object.size_bytes;
    }
    if (on_progress) on_progress(removed);
    if (page.size() < list_page) return removed;
    after = page.back().name;
  }
}

}  // namespace pgstrata
