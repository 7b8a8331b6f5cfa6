// Where the files of a snapshot go: the data directory, and one folder for each tablespace. Decides, before
// anything is written, whether those places may be used. Internal to the room.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "catalog/snapshot_record.h"
#include "restore/target_directory.h"

namespace pgstrata {

// Source location and the one to use instead, both absolute.
using TablespaceMapping = std::pair<std::string, std::string>;

struct TablespacePlace {
  Oid oid;
  std::filesystem::path location;
};

// Errors: usage, when a mapping names no tablespace of the snapshot (the hint lists them), a path is not
// absolute, two tablespaces would share a location, or one lies within the data directory; failed, when one
// that is not mapped has a location that no tablespace has.
[[nodiscard]] Result<std::vector<TablespacePlace>> place_tablespaces(
    const std::vector<TablespaceEntry>& tablespaces, const std::vector<TablespaceMapping>& mappings,
    const std::filesystem::path& data_directory);

// Whether `path` is `folder` or lies within it, by whatever names. What cannot be told lies elsewhere.
[[nodiscard]] bool leads_into(const std::filesystem::path& path, const std::filesystem::path& folder);

// Present in the data directory and in every tablespace's folder from before the first write until all is
// durable.
inline constexpr std::string_view unfinished_marker = "pgstrata_restore_unfinished";
[[nodiscard]] Bytes write_marker(const SnapshotRecord& snapshot, Oid tablespace);

// A path of the snapshot, as the folder it is in and the path there.
struct TargetPath {
  const TargetDirectory* directory;
  std::string relative;  // empty: the folder itself
};

class RestoreLayout {
 public:
  struct Options {
    std::filesystem::path data_directory;
    std::vector<TablespaceMapping> mappings;
    bool delta = false;
  };
  // Makes the folders that are missing; writes nothing else, and nothing at all where it fails. Errors: busy
  // (a server runs there, or another restore); already_exists (not empty; the hint says --delta, or how to
  // map a tablespace); usage (as above, or --delta on a folder that is no data directory of this system).
  static Result<RestoreLayout> prepare(const SnapshotRecord& snapshot, const Options& options);

  [[nodiscard]] const TargetDirectory& data() const { return data_; }
  [[nodiscard]] const std::map<Oid, TargetDirectory>& tablespaces() const { return tablespaces_; }
  // Something was there: compare before writing, and remove what the snapshot does not have.
  [[nodiscard]] bool over_existing() const { return over_existing_; }
  // "pg_tblspc/16400/PG_15_202209061/5/1" leads into the tablespace's folder.
  [[nodiscard]] TargetPath resolve(std::string_view path) const;
  // Takes the folders away again that prepare made. Nothing may have been written into them.
  void unmake() const;

 private:
  explicit RestoreLayout(TargetDirectory data) : data_(std::move(data)) {}
  Result<void> take_places(const SnapshotRecord& snapshot, const std::vector<TablespacePlace>& places,
                           bool delta);

  TargetDirectory data_;
  std::map<Oid, TargetDirectory> tablespaces_;
  bool over_existing_ = false;
};

}  // namespace pgstrata
