#include "restore/delta_cleanup.h"

#include <map>

#include <sys/stat.h>

namespace pgstrata {
namespace {

constexpr std::string_view links_folder = "pg_tblspc";
constexpr std::uint64_t block_bytes = 4096;

std::string joined(std::string_view folder, std::string_view name) {
  return folder.empty() ? std::string(name) : fmt::format("{}/{}", folder, name);
}

std::string tablespace_path(Oid oid, std::string_view name) {
  return fmt::format("{}/{}/{}", links_folder, oid, name);
}

// What of a tablespace's folder the snapshot has: its PG_MAJOR_CATALOGVERSION.
Result<std::vector<DirectoryEntry>> version_directories(const TargetDirectory& directory,
                                                        FileTreeReader& tree, Oid oid) {
  PGS_TRY(const auto entries, directory.list(""));
  std::vector<DirectoryEntry> owned;
  for (const auto& entry : entries) {
    PGS_TRY(const auto wanted, tree.find(tablespace_path(oid, entry.name)));
    if (wanted) owned.push_back(entry);
  }
  return owned;
}

class Cleaner {
 public:
  Cleaner(const RestoreLayout& layout, FileTreeReader& tree, const Cancellation& cancellation)
      : layout_(layout), tree_(tree), cancellation_(cancellation) {}

  // Of a tablespace's folder only the snapshot's version directory is PostgreSQL's: beside it may lie those
  // of other majors, and whatever else somebody keeps there.
  Result<void> clean_tablespace(const TargetDirectory& directory, Oid oid) {
    PGS_TRY(const auto owned, version_directories(directory, tree_, oid));
    for (const auto& entry : owned) {
      PGS_CHECK(clean_entry(directory, entry, entry.name, tablespace_path(oid, entry.name)));
    }
    return {};
  }

  // `folder` in `directory` is `path` in the snapshot.
  Result<void> clean(const TargetDirectory& directory, const std::string& folder, const std::string& path) {
    PGS_TRY(const auto entries, directory.list(folder));
    for (const auto& entry : entries) {
      const auto here = joined(folder, entry.name);
      if (here != unfinished_marker) PGS_CHECK(clean_entry(directory, entry, here, joined(path, entry.name)));
    }
    return {};
  }

 private:
  Result<void> clean_entry(const TargetDirectory& directory, const DirectoryEntry& entry,
                           const std::string& here, const std::string& there) {
    PGS_CHECK(cancellation_.check());
    PGS_TRY(const bool keep, is_kept(directory, here, there, entry.kind));
    if (!keep) return directory.remove(here);
    return entry.kind == FileType::directory ? clean(directory, here, there) : Result<void>();
  }

  Result<bool> is_kept(const TargetDirectory& directory, const std::string& here, const std::string& there,
                       FileType kind) {
    if (kind == FileType::symbolic_link) return is_right_link(directory, here, there);
    const auto resolved = layout_.resolve(there);
    if (resolved.directory != &directory) return false;  // a folder where a tablespace's link belongs
    PGS_TRY(const auto wanted, tree_.find(there));
    if (!wanted) return false;
    if (wanted->kind == EntryKind::directory) return kind == FileType::directory;
    if (kind != FileType::regular) return false;
    // One that has a second name elsewhere must not be changed in place.
    PGS_TRY(const auto file, directory.open_file(here, O_RDONLY));
    struct stat info {};
    return ::fstat(file.get(), &info) == 0 && info.st_nlink == 1;
  }

  Result<bool> is_right_link(const TargetDirectory& directory, const std::string& here,
                             const std::string& there) {
    const auto resolved = layout_.resolve(there);
    if (resolved.directory == &layout_.data() || !resolved.relative.empty()) return false;
    PGS_TRY(const auto leads_to, directory.read_link(here));
    return leads_to == resolved.directory->path();
  }

  const RestoreLayout& layout_;
  FileTreeReader& tree_;
  const Cancellation& cancellation_;
};

Result<std::uint64_t> allocated_bytes(const TargetDirectory& directory, const std::string& folder) {
  std::uint64_t total = 0;
  PGS_TRY(const auto entries, directory.list(folder));
  for (const auto& entry : entries) {
    const auto here = joined(folder, entry.name);
    if (entry.kind == FileType::directory) {
      PGS_TRY(const auto inside, allocated_bytes(directory, here));
      total += inside;
    } else if (entry.kind == FileType::regular) {
      PGS_TRY(const auto info, directory.stat(here));
      total += info.allocated_bytes;
    }
  }
  return total;
}

// Bytes of the file that take space: all but its zero extents.
Result<std::uint64_t> stored_bytes(FileTreeReader& tree, const FileEntry& file) {
  std::uint64_t total = 0;
  const auto count = extent_count(file.size_bytes);
  for (std::uint64_t first = 0; first < count; first += page_map_leaf_extents) {
    const auto some = std::min<std::uint64_t>(page_map_leaf_extents, count - first);
    PGS_TRY(const auto extents, tree.extents(file, first, some));
    for (std::uint64_t index = 0; index < some; ++index) {
      if (extents[index].chunk) total += extent_size(file.size_bytes, first + index);
    }
  }
  return total;
}

struct SpaceOnDevice {
  std::uint64_t needed_bytes = 0;
  std::uint64_t present_bytes = 0;
  std::filesystem::path path;
};
using Space = std::map<std::uint64_t, SpaceOnDevice>;

// With `exact`, page maps are read to leave out zeros: as much work again as reading the tree.
Result<Space> count_space(const RestoreLayout& layout, FileTreeReader& tree, std::uint64_t further_bytes,
                          bool exact) {
  Space space;
  space[layout.data().device()].needed_bytes = further_bytes;
  const auto count_present = [&](const TargetDirectory& directory,
                                 const std::string& folder) -> Result<void> {
    PGS_TRY(const auto present, allocated_bytes(directory, folder));
    space[directory.device()].present_bytes += present;
    return {};
  };
  space[layout.data().device()].path = layout.data().path();
  if (layout.over_existing()) PGS_CHECK(count_present(layout.data(), ""));
  for (const auto& [oid, directory] : layout.tablespaces()) {
    space[directory.device()].path = directory.path();
    if (!layout.over_existing()) continue;
    PGS_TRY(const auto owned, version_directories(directory, tree, oid));
    for (const auto& entry : owned) {
      if (entry.kind == FileType::directory) PGS_CHECK(count_present(directory, entry.name));
    }
  }
  PGS_CHECK(tree.for_each([&](const FileEntry& entry) -> Result<void> {
    std::uint64_t bytes = entry.size_bytes;
    if (exact) {
      PGS_TRY(bytes, stored_bytes(tree, entry));
    }
    space[layout.resolve(entry.path).directory->device()].needed_bytes +=
        (bytes + block_bytes - 1) / block_bytes * block_bytes;
    return {};
  }));
  return space;
}

Result<void> check_fits(const Space& space) {
  for (const auto& [number, device] : space) {
    PGS_TRY(const auto free, free_space_bytes(device.path));
    if (device.needed_bytes <= free + device.present_bytes) continue;
    return std::unexpected(
        make_error(ErrorCode::no_space, "restoring into \"{}\" needs {} MiB there, and {} MiB are free",
                   device.path.native(), (device.needed_bytes - device.present_bytes) >> 20, free >> 20)
            .with_hint("Make room, or choose another folder; tablespaces can go elsewhere with "
                       "--tablespace. Nothing was written."));
  }
  return {};
}

}  // namespace

Result<void> remove_what_the_snapshot_lacks(const RestoreLayout& layout, FileTreeReader& tree,
                                            const Cancellation& cancellation) {
  Cleaner cleaner(layout, tree, cancellation);
  PGS_CHECK(cleaner.clean(layout.data(), "", ""));
  for (const auto& [oid, directory] : layout.tablespaces()) {
    PGS_CHECK(cleaner.clean_tablespace(directory, oid));
  }
  return {};
}

Result<void> check_free_space(const RestoreLayout& layout, FileTreeReader& tree,
                              std::uint64_t further_bytes) {
  PGS_TRY(const auto bound, count_space(layout, tree, further_bytes, false));
  if (check_fits(bound)) return {};
  PGS_TRY(const auto exact, count_space(layout, tree, further_bytes, true));
  return check_fits(exact);
}

}  // namespace pgstrata
