// A server's setting as a flag takes it.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace pgstrata {

// "NAME=VALUE"; the value may be empty or hold another "=". Error: usage.
[[nodiscard]] Result<std::pair<std::string, std::string>> parse_setting_argument(const std::string& text);

}  // namespace pgstrata
