#include "sys/environment.h"

#include <cstdlib>

namespace pgstrata {

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace pgstrata
