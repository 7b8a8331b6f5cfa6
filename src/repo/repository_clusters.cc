// The clusters of a repository.
#include <algorithm>

#include "repo/clear_json.h"
#include "repo/cluster_key.h"
#include "repo/repository.h"

namespace pgstrata {
namespace {

constexpr std::size_t name_size_max = 48;
constexpr std::string_view clusters_prefix = "clusters/";
constexpr std::string_view key_name = "key";

bool is_lower_letter(char c) {
  return c >= 'a' && c <= 'z';
}
bool fits_cluster_name(char c) {
  return is_lower_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// What is damaged is there: whoever opens it says so.
Result<bool> exists(ObjectStore& store, std::string_view name) {
  const auto info = store.stat(name);
  if (info.has_value() || info.error().code() == ErrorCode::damaged) return true;
  if (info.error().code() == ErrorCode::not_found) return false;
  return std::unexpected(info.error());
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

Result<Repository::ClusterFolders> Repository::cluster_folders() const {
  ClusterFolders folders;
  std::string after;
  while (true) {
    PGS_TRY(const auto first, store_->list(clusters_prefix, after, 1));
    if (first.empty()) break;
    const std::string_view below = std::string_view(first.front().name).substr(clusters_prefix.size());
    const std::string name(below.substr(0, below.find('/')));
    if (name == below || !check_cluster_name(name)) {
      folders.foreign.push_back(fmt::format("{}{}", clusters_prefix, name));
    } else {
      PGS_TRY(const bool has_key, exists(*store_, cluster_object_name(name, key_name)));
      (has_key ? folders.with_key : folders.without_key).push_back(name);
    }
    // "0" is the character after "/": on to what follows the last object of this folder.
    after = name == below ? first.front().name : fmt::format("{}{}0", clusters_prefix, name);
  }
  for (auto* names : {&folders.with_key, &folders.without_key, &folders.foreign}) std::ranges::sort(*names);
  return folders;
}

Result<std::vector<std::string>> Repository::clusters() const {
  PGS_TRY(ClusterFolders folders, cluster_folders());
  return std::move(folders.with_key);
}

Result<std::vector<std::string>> Repository::clusters_without_key() const {
  PGS_TRY(ClusterFolders folders, cluster_folders());
  return std::move(folders.without_key);
}

Result<std::vector<std::string>> Repository::foreign_beside_clusters() const {
  PGS_TRY(ClusterFolders folders, cluster_folders());
  return std::move(folders.foreign);
}

Result<ClusterSpace> Repository::create_cluster(std::string_view name) {
  PGS_CHECK(check_cluster_name(name));
  const std::string object_name = cluster_object_name(name, key_name);
  PGS_TRY(const bool taken, exists(*store_, object_name));
  if (taken)
    return fail(ErrorCode::already_exists, "there is a cluster \"{}\" in this repository already", name);
  PGS_TRY(const bool remains, has_objects(*store_, name));
  if (remains) {
    return std::unexpected(make_error(ErrorCode::already_exists,
                                      "objects of a destroyed cluster \"{}\" are still in this repository",
                                      name)
                               .with_hint("Remove them first, or take another name."));
  }
  const SecretKey key = SecretKey::random();
  PGS_CHECK(store_->put(object_name, seal_cluster_key(id_, key_, name, key)));
  return ClusterSpace(*store_, std::string(name), key);
}

Result<ClusterSpace> Repository::adopt_cluster(std::string_view name, const SecretKey& key) {
  PGS_CHECK(check_cluster_name(name));
  const std::string object_name = cluster_object_name(name, key_name);
  PGS_TRY(const bool there, exists(*store_, object_name));
  if (!there) {
    const auto put = store_->put(object_name, seal_cluster_key(id_, key_, name, key));
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

Result<ClusterSpace> Repository::open_cluster(std::string_view name) const {
  PGS_CHECK(check_cluster_name(name));
  const auto stored = store_->get(cluster_object_name(name, key_name), max_clear_json_bytes);
  if (stored.has_value()) {
    PGS_TRY(const SecretKey key, open_cluster_key(id_, key_, name, *stored));
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
