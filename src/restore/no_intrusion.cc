#include "restore/no_intrusion.h"

#include "sys/files.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;

// What is there goes with a branch, or with a roll.
bool has_branches(const fs::path& folder) {
  std::error_code ignored;
  return folder.parent_path().filename() == branches_folder_name &&
         fs::exists(folder / branches_lock_name, ignored);
}

Result<void> check_folders_above(const fs::path& shown, const fs::path& path) {
  for (auto folder = path.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    std::error_code ignored;
    std::string_view what;
    if (fs::exists(folder / "PG_VERSION", ignored)) what = "data directory";
    if (is_repository(folder)) what = "repository";
    if (has_branches(folder)) what = "folder of branches";
    if (what.empty()) continue;
    return std::unexpected(make_error(ErrorCode::usage, "\"{}\" lies within the {} \"{}\"", shown.native(),
                                      what, folder.native())
                               .with_hint("Choose a folder outside of it."));
  }
  return {};
}

}  // namespace

bool is_repository(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "repository", ignored) && fs::is_directory(folder / "keys", ignored);
}

Result<void> check_no_intrusion(const fs::path& folder) {
  const auto named = without_last_separator(fs::absolute(folder).lexically_normal());
  PGS_CHECK(check_folders_above(named, named));
  PGS_TRY(const auto found, resolved_path(folder));
  return check_folders_above(named, found);
}

}  // namespace pgstrata
