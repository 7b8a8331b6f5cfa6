// Where randomised tests get their seed.
#pragma once

#include <cstdint>
#include <optional>

namespace pgstrata::testing {

// PGSTRATA_TEST_SEED when it is set, else `usual`, else one that nobody knows. Printed, so that a run that
// failed can be had again. Throws TestFailure when the variable holds no number.
[[nodiscard]] std::uint64_t test_seed(std::optional<std::uint64_t> usual = std::nullopt);

}  // namespace pgstrata::testing
