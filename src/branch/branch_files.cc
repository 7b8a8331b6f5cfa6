#include "branch/branch_files.h"

#include <algorithm>

namespace pgstrata {
namespace {

constexpr std::string_view data_prefix = "data/";
constexpr std::string_view wal_prefix = "wal/";
constexpr std::string_view tablespaces_prefix = "tablespaces/";
constexpr std::string_view snapshot_tablespaces = "pg_tblspc";

constexpr BaseEntry plain_folder{.directory = true, .mode = 0700, .size_bytes = 0};

class BranchFiles final : public BaseFiles {
 public:
  BranchFiles(std::unique_ptr<BaseFiles> snapshot, std::unique_ptr<BaseFiles> wal)
      : snapshot_(std::move(snapshot)), wal_(std::move(wal)) {}

  Result<std::optional<BaseEntry>> find(std::string_view path) override {
    // Others pass through on their way to the data directory, which lets nobody in but its owner.
    if (path.empty()) return BaseEntry{.directory = true, .mode = 0755, .size_bytes = 0};
    if (path == branch_tablespaces_folder || path == branch_wal_folder) return plain_folder;
    if (const auto segment = in_wal(path)) return wal_->find(*segment);
    const auto within = path_in_snapshot(path);
    if (!within) return std::nullopt;
    PGS_TRY(auto entry, snapshot_->find(*within));
    if (!entry && is_tablespace(path)) {
      // A snapshot has what is in it; the folder itself was a link on the source.
      PGS_TRY(const auto names, snapshot_->list(*within));
      if (!names.empty()) return plain_folder;
    }
    return entry;
  }

  Result<std::vector<Named>> list(std::string_view folder) override {
    if (folder.empty()) {
      return std::vector<Named>{{std::string(branch_data_folder), true},
                                {std::string(branch_tablespaces_folder), true},
                                {std::string(branch_wal_folder), true}};
    }
    if (folder == branch_wal_folder) return wal_->list("");
    std::vector<Named> names;
    if (const auto within = path_in_snapshot(folder)) {
      PGS_TRY(names, snapshot_->list(*within));
      if (folder == "data/pg_tblspc") names.clear();
      if (folder == branch_data_folder)
        std::erase_if(names, [](const Named& name) { return name.name == "pg_wal"; });
    }
    return names;
  }

  Result<std::unique_ptr<BaseFile>> open(std::string_view path) override {
    if (const auto segment = in_wal(path)) return wal_->open(*segment);
    const auto within = path_in_snapshot(path);
    if (!within) return fail(ErrorCode::not_found, "a branch's base has no {}", path);
    return snapshot_->open(*within);
  }

 private:
  static bool is_tablespace(std::string_view path) {
    return path.starts_with(tablespaces_prefix) &&
           path.find('/', tablespaces_prefix.size()) == std::string_view::npos;
  }

  static std::optional<std::string> in_wal(std::string_view path) {
    if (!path.starts_with(wal_prefix)) return std::nullopt;
    return std::string(path.substr(wal_prefix.size()));
  }

  std::unique_ptr<BaseFiles> snapshot_;
  std::unique_ptr<BaseFiles> wal_;
};

}  // namespace

std::optional<std::string> path_in_snapshot(std::string_view path) {
  if (path == branch_data_folder) return "";
  if (path.starts_with(branch_tablespace_links) || path == branch_wal_link) return std::nullopt;
  if (path.starts_with(data_prefix)) return std::string(path.substr(data_prefix.size()));
  if (path == branch_tablespaces_folder) return std::string(snapshot_tablespaces);
  if (path.starts_with(tablespaces_prefix))
    return fmt::format("{}/{}", snapshot_tablespaces, path.substr(tablespaces_prefix.size()));
  return std::nullopt;
}

std::unique_ptr<BaseFiles> open_branch_files(std::unique_ptr<BaseFiles> snapshot,
                                             std::unique_ptr<BaseFiles> wal) {
  return std::make_unique<BranchFiles>(std::move(snapshot), std::move(wal));
}

}  // namespace pgstrata
