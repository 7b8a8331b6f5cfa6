// At which of its steps a test lets a piece of work fail. Only tests include this.
#pragma once

#include <cstdint>

#include "base/sanitized.h"

namespace pgstrata {

// Every step, or every 23rd.
inline constexpr std::uint64_t fault_step_stride = sanitized ? 23 : 1;

}  // namespace pgstrata
