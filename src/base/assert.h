// Invariants, on in every build. Never for input: input gets an Error.
#pragma once

namespace pgstrata {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}

#define PGS_ASSERT(condition) \
  (static_cast<bool>(condition) ? void(0) : ::pgstrata::assertion_failed(#condition, __FILE__, __LINE__))
