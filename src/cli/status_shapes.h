// How `status` looks.
#pragma once

#include "app/cluster_status.h"
#include "cli/command.h"

namespace pgstrata {

[[nodiscard]] Json json_status(const RepositoryStatus& status);
[[nodiscard]] std::string text_status(const RepositoryStatus& status);

// What retention has left of earlier times: single moments, but for what a hold keeps.
[[nodiscard]] bool is_kept_of_earlier(const CoverageRange& range, const WalHorizons& horizons);

}  // namespace pgstrata
