// At which of its steps a test lets a piece of work fail. Only tests include this.
#pragma once

#include <cstdint>

namespace pgstrata {

// Every step; under a sanitizer, which makes each run some ten times as long, every eleventh.
#ifdef PGSTRATA_SANITIZED
inline constexpr std::uint64_t fault_step_stride = 11;
#else
inline constexpr std::uint64_t fault_step_stride = 1;
#endif

}  // namespace pgstrata
