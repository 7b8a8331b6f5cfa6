// Spans of time as people write them.
#pragma once

#include <chrono>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

// "90s", "30m", "12h", "7d", "2w", "1y": seconds, minutes, hours, days, weeks, years of 366 days, so that a year is never
// short. Error: usage, also for more than 1000 years.
[[nodiscard]] Result<std::chrono::seconds> parse_duration_argument(std::string_view text);

}  // namespace pgstrata
