#include "support/postgres_binaries.h"

#include <cstdlib>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include "base/sanitized.h"
#include "support/test_failure.h"
#include "support/thoroughness.h"

namespace pgstrata::testing {
namespace {

std::filesystem::path fetched_majors() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const auto directory = variable("PGSTRATA_TEST_POSTGRES_DIR"); !directory.empty()) return directory;
  if (geteuid() == 0) return "/var/cache/pgstrata/postgres";
  const auto cache = variable("XDG_CACHE_HOME");
  const auto root =
      cache.empty() ? std::filesystem::path(variable("HOME")) / ".cache" : std::filesystem::path(cache);
  return root / "pgstrata/postgres";
}

std::optional<std::filesystem::path> directory_of(int major) {
  const auto packaged = std::filesystem::path("/usr/lib/postgresql") / std::to_string(major) / "bin";
  const auto fetched = fetched_majors() / std::to_string(major) / "bin";
  for (const auto& directory : {packaged, fetched}) {
    if (std::filesystem::exists(directory / "postgres")) return directory;
  }
  return std::nullopt;
}

}  // namespace

PostgresBinaries PostgresBinaries::find(int major) {
  const auto directory = directory_of(major);
  if (!directory) {
    throw TestFailure(
        fmt::format("PostgreSQL {} is not installed: run scripts/install-packages run and "
                    "scripts/install-postgres-majors",
                    major));
  }
  return {major, *directory};
}

std::string PostgresBinaries::program(const std::string& name) const {
  if (!has(name)) {
    throw TestFailure(fmt::format("the PostgreSQL {} in {} has no {}", major_, directory_.string(), name));
  }
  return (directory_ / name).string();
}

const std::vector<int>& supported_majors() {
  static const std::vector<int> majors{13, 14, 15, 16, 17, 18};
  return majors;
}

std::vector<int> sample_majors() {
  const auto& majors = supported_majors();
  if (thorough()) return majors;
  return {majors.front(), majors.back()};
}

std::vector<int> newest_major() {
  if (thorough()) return supported_majors();
  return {supported_majors().back()};
}

std::vector<int> available_majors() {
  std::vector<int> majors = sanitized && !thorough() ? std::vector<int>{14, 18} : supported_majors();
  std::erase_if(majors, [](int major) { return !directory_of(major); });
  return majors;
}

}  // namespace pgstrata::testing
