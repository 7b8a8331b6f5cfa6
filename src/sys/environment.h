// Variables of the environment, so that tests can give others.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace pgstrata {

// The value of a variable; nothing when it is not set or empty.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;
// Of this process.
[[nodiscard]] std::optional<std::string> process_environment(const std::string& name);

}  // namespace pgstrata
