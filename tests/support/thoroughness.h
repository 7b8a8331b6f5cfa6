// How much is tested: what every change is checked by has to be done in minutes, and has less of the same.
#pragma once

#include <cstdlib>

namespace pgstrata::testing {

// `./test --thorough`: every major, every step at which something may fail, long chains.
[[nodiscard]] inline bool thorough() {
  return std::getenv("PGSTRATA_TEST_THOROUGH") != nullptr;
}

}  // namespace pgstrata::testing
