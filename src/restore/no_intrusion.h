// Places that belong to somebody already: a server's data directory, a repository, the branches of a machine.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

// STATE/branches/CLUSTER has a lock file of that name (branch/branch_home.h): by both it is known here.
inline constexpr std::string_view branches_folder_name = "branches";
inline constexpr std::string_view branches_lock_name = ".lock";

[[nodiscard]] bool is_repository(const std::filesystem::path& folder);

// A server would find what is written there among its own files, a repository among its objects, and with a
// branch goes what is in its folder: by the name that is given, as through pg_tblspc, and where its links
// lead. `folder` itself may be either. Errors: usage, when it lies within a data directory, a repository or
// the folder of branches; those of resolving its links.
[[nodiscard]] Result<void> check_no_intrusion(const std::filesystem::path& folder);

}  // namespace pgstrata
