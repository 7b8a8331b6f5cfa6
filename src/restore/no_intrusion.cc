#include "restore/no_intrusion.h"

#include "sys/files.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;

Result<void> check_folders_above(const fs::path& shown, const fs::path& path) {
  for (auto folder = path.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    std::error_code ignored;
    const bool in_data = fs::exists(folder / "PG_VERSION", ignored);
    if (!in_data && !is_repository(folder)) continue;
    return std::unexpected(make_error(ErrorCode::usage, "\"{}\" lies within the {} \"{}\"", shown.native(),
                                      in_data ? "data directory" : "repository", folder.native())
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
