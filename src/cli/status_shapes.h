// How `status` looks.
#pragma once

#include "app/cluster_status.h"
#include "cli/command.h"

namespace pgstrata {

[[nodiscard]] Json json_status(const RepositoryStatus& status);
[[nodiscard]] std::string text_status(const RepositoryStatus& status);

}  // namespace pgstrata
