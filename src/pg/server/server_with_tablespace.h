// Which server on this machine has a tablespace at a place.
#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"

namespace pgstrata {

// The data directory of a running server with a tablespace at `location`, which must exist; nothing when
// there is none. Error: busy, when a PostgreSQL server runs as the user who owns `location` and this process
// may not see where: it may be the one.
[[nodiscard]] Result<std::optional<std::filesystem::path>> server_with_tablespace(
    const std::filesystem::path& location);

}  // namespace pgstrata
