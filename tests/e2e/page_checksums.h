// Page checksums of a stopped server's data directory, for majors whose pg_checksums nobody packages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pgstrata::testing {

struct PageChecksums {
  std::uint64_t pages = 0;           // that have one: not those never initialised
  std::vector<std::string> wrong{};  // "base/5/16384 block 7"
};

[[nodiscard]] PageChecksums check_page_checksums(const std::filesystem::path& data_directory);

}  // namespace pgstrata::testing
