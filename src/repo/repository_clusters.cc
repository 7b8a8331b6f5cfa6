// The clusters of a repository.
#include <algorithm>

#include "repo/clear_json.h"
#include "repo/cluster_folders.h"
#include "repo/cluster_key.h"
#include "repo/repository.h"

namespace pgstrata {
namespace {

constexpr std::size_t name_size_max = 48;

bool is_lower_letter(char c) {
  return c >= 'a' && c <= 'z';
}
bool fits_cluster_name(char c) {
  return is_lower_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

Result<bool> has_objects(ObjectStore& store, std::string_view cluster_name) {
  PGS_TRY(const auto objects, store.list(cluster_object_name(cluster_name, ""), "", 1));
  return !objects.empty();
}

std::string display_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Result<void> check_cluster_name(std::string_view name) {
  if (!name.empty() && name.size() <= name_size_max && is_lower_letter(name.front()) &&
      std::ranges::all_of(name, fits_cluster_name)) {
    return {};
  }
  return fail(ErrorCode::usage,
              "\"{}\" cannot name a cluster: a name has 1 to {} of a-z, 0-9, \"_\" and \"-\" and starts with "
              "a letter",
              name, name_size_max);
}

Result<std::vector<std::string>> Repository::clusters() const {
  PGS_TRY(ClusterFolders folders, list_cluster_folders(*store_));
  return std::move(folders.with_key);
}

Result<std::vector<std::string>> Repository::clusters_without_key() const {
  PGS_TRY(ClusterFolders folders, list_cluster_folders(*store_));
  return std::move(folders.without_key);
}

Result<std::vector<std::string>> Repository::foreign_beside_clusters() const {
  PGS_TRY(ClusterFolders folders, list_cluster_folders(*store_));
  return std::move(folders.foreign);
}

// A rotation may have passed by while the key was put, and not have seen it: under the former key it would be lost.
Result<void> Repository::keep_under_current_key(std::string_view name, const SecretKey& key,
                                                const KeyRing& used) {
  const std::string object_name = cluster_object_name(name, cluster_key_name);
  RepositoryKeyId under = repository_key_id(used.current);
  while (true) {
    const auto ring = current_ring();
    if (!ring.has_value()) {
      // Nothing is sealed with it yet.
      if (ring.error().code() == ErrorCode::wrong_key) PGS_CHECK(store_->remove(object_name));
      return std::unexpected(ring.error());
    }
    const RepositoryKeyId current = repository_key_id(ring->current);
    if (current == under) return {};
    PGS_TRY(const VersionedObject there, store_->get_versioned(object_name));
    const auto done =
        store_->replace(object_name, there.version, seal_cluster_key(id_, ring->current, name, key));
    if (done.has_value()) {
      under = current;
    } else if (done.error().code() != ErrorCode::busy) {
      return std::unexpected(done.error());
    }
  }
}

Result<void> Repository::put_cluster_key(std::string_view name, const SecretKey& key) {
  PGS_TRY(const KeyRing ring, current_ring());
  PGS_CHECK(store_->put(cluster_object_name(name, cluster_key_name),
                        seal_cluster_key(id_, ring.current, name, key)));
  return keep_under_current_key(name, key, ring);
}

Result<ClusterSpace> Repository::create_cluster(std::string_view name) {
  PGS_CHECK(check_cluster_name(name));
  PGS_TRY(const bool taken, has_cluster_key(*store_, name));
  if (taken)
    return fail(ErrorCode::already_exists, "there is a cluster \"{}\" in this repository already", name);
  PGS_TRY(const bool remains, has_objects(*store_, name));
  if (remains) {
    return std::unexpected(
        make_error(ErrorCode::already_exists,
                   "objects of a destroyed cluster \"{}\" are still in this repository", name)
            .with_hint(fmt::format("Remove them with `pgstrata shred {}`, or take another name.", name)));
  }
  const SecretKey key = SecretKey::random();
  PGS_CHECK(put_cluster_key(name, key));
  return ClusterSpace(*store_, std::string(name), key);
}

Result<ClusterSpace> Repository::adopt_cluster(std::string_view name, const SecretKey& key) {
  PGS_CHECK(check_cluster_name(name));
  PGS_TRY(const bool there, has_cluster_key(*store_, name));
  if (!there) {
    const auto put = put_cluster_key(name, key);
    if (put) return ClusterSpace(*store_, std::string(name), key);
    if (put.error().code() != ErrorCode::already_exists) return std::unexpected(put.error());
  }
  PGS_TRY(ClusterSpace space, open_cluster(name));
  if (std::ranges::equal(space.key().view(), key.view())) return space;
  return std::unexpected(
      make_error(ErrorCode::already_exists,
                 "the cluster \"{}\" in {} is another one: its key is not that of the one to be copied", name,
                 store_->describe())
          .with_hint("Copy into another repository."));
}

namespace {

// With each key of the ring. Errors: those of open_cluster_key.
Result<SecretKey> open_with_ring(const RepositoryId& id, const KeyRing& ring, std::string_view name,
                                 ByteView stored) {
  auto key = open_cluster_key(id, ring.current, name, stored);
  if (key.has_value() || !ring.other) return key;
  auto with_other = open_cluster_key(id, *ring.other, name, stored);
  return with_other.has_value() ? with_other : key;
}

// One that a process left behind which ended while it put it, and while the key was rotated.
std::unexpected<Error> left_behind(std::string_view name) {
  return std::unexpected(
      make_error(ErrorCode::damaged,
                 "the key of cluster \"{}\" is wrapped by a key that the repository no longer has", name)
          .with_hint(fmt::format(
              "If its `pgstrata add` was cut short while the repository's key was rotated, nothing "
              "is lost: remove it with `pgstrata shred {}` and add it again. Else bring "
              "clusters/{}/key back from a copy of the repository.",
              name, name)));
}

}  // namespace

// The key may have been rotated since the repository was opened.
Result<SecretKey> Repository::open_stored_key(std::string_view name, ByteView stored) const {
  auto key = open_with_ring(id_, ring_, name, stored);
  if (key.has_value() || key.error().code() == ErrorCode::newer_format) return key;
  PGS_TRY(const KeyRing ring, current_ring());
  PGS_TRY(const Bytes now, store_->get(cluster_object_name(name, cluster_key_name), max_clear_json_bytes));
  key = open_with_ring(id_, ring, name, now);
  if (!key.has_value() && key.error().code() == ErrorCode::wrong_key) return left_behind(name);
  return key;
}

Result<ClusterSpace> Repository::open_cluster(std::string_view name) const {
  PGS_CHECK(check_cluster_name(name));
  const auto stored = store_->get(cluster_object_name(name, cluster_key_name), max_clear_json_bytes);
  if (stored.has_value()) {
    PGS_TRY(const SecretKey key, open_stored_key(name, *stored));
    return ClusterSpace(*store_, std::string(name), key);
  }
  if (stored.error().code() != ErrorCode::not_found) return std::unexpected(stored.error());
  PGS_TRY(const auto names, clusters());
  PGS_TRY(const bool remains, has_objects(*store_, name));
  return std::unexpected(
      make_error(ErrorCode::not_found, "there is no cluster \"{}\" in this repository{}", name,
                 remains ? ": its key is gone, and with it all that is left of it" : "")
          .with_hint(names.empty() ? "It holds no cluster yet; register one with `pgstrata add`."
                                   : fmt::format("It holds: {}.", display_list(names))));
}

}  // namespace pgstrata
