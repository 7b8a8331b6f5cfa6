#include "storage/disk/disk_listing.h"

#include <algorithm>

namespace pgstrata {
namespace {

class Listing {
 public:
  Listing(const DiskRoot& root, const ListingRange& range) : root_(root), range_(range) {}

  // `folder` is "" or ends with "/".
  Result<void> visit(const std::string& folder) {
    const std::filesystem::path path = root_.path_of(folder);
    Result<std::vector<DirectoryEntry>> entries = list_directory(path);
    if (!entries) {
      // Never made, removed meanwhile, or an object; the root itself cannot be missing.
      const Result<bool> exists = file_exists(path);
      if (!folder.empty() && exists && !*exists) return {};
      return std::unexpected(std::move(entries).error());
    }
    // In the order of the names they stand for: "a-b" comes before "a/b", yet the file "a-b" after the folder
    // "a".
    for (DirectoryEntry& entry : *entries) {
      if (entry.kind == FileType::directory) entry.name += '/';
    }
    std::ranges::sort(*entries, {}, &DirectoryEntry::name);
    for (const DirectoryEntry& entry : *entries) {
      if (full()) return {};
      PGS_CHECK(take(folder, entry));
    }
    return {};
  }

  std::vector<ObjectInfo> found;

 private:
  [[nodiscard]] bool full() const { return found.size() >= range_.limit; }

  Result<void> take(const std::string& folder, const DirectoryEntry& entry) {
    const bool is_folder = entry.kind == FileType::directory;
    const std::string name = folder + entry.name;
    const std::string_view object = is_folder ? std::string_view(name).substr(0, name.size() - 1) : name;
    if (!check_object_name(object)) return {};
    if (is_folder) return may_hold_some(name) ? visit(name) : Result<void>();
    if (!name.starts_with(range_.prefix) || name <= range_.after) return {};
    const Result<FileInfo> info = stat_file(root_.path_of(name));
    if (!info && info.error().code() == ErrorCode::not_found) return {};
    if (!info) return std::unexpected(info.error());
    const std::uint64_t size_bytes = info->kind == FileType::regular ? info->size_bytes : 0;
    found.push_back({.name = name, .size_bytes = size_bytes, .modified = info->modified});
    return {};
  }

  // `folder` ends with "/".
  [[nodiscard]] bool may_hold_some(std::string_view folder) const {
    const bool in_prefix = folder.starts_with(range_.prefix) || range_.prefix.starts_with(folder);
    return in_prefix && (range_.after < folder || range_.after.starts_with(folder));
  }

  const DiskRoot& root_;
  const ListingRange& range_;
};

}  // namespace

Result<std::vector<ObjectInfo>> list_objects(const DiskRoot& root, const ListingRange& range) {
  // An empty place of a disk that went away must not look like an empty store.
  PGS_CHECK(root.check_present());
  Listing listing(root, range);
  const std::size_t slash = range.prefix.rfind('/');
  if (slash == std::string_view::npos) {
    PGS_CHECK(listing.visit(""));
  } else if (check_object_name(range.prefix.substr(0, slash))) {
    PGS_CHECK(listing.visit(std::string(range.prefix.substr(0, slash + 1))));
  }
  return std::move(listing.found);
}

}  // namespace pgstrata
