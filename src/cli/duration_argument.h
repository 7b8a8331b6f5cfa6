// Spans of time as people write them.
#pragma once

#include <chrono>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

// "90s", "30m", "12h", "7d", "2w": seconds, minutes, hours, days, weeks. Error: usage.
[[nodiscard]] Result<std::chrono::seconds> parse_duration_argument(std::string_view text);

}  // namespace pgstrata
