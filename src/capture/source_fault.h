// Errors for what a source sends that PostgreSQL would not: the fault is the server's or the network's, the
// repository is as it was. Internal to this room.
#pragma once

#include "base/error.h"

namespace pgstrata {

inline constexpr const char* run_again =
    "Nothing was published. Run the backup again; if it happens again, check the source's disk and the "
    "network in between.";
inline constexpr const char* not_postgresql =
    "Nothing was published. No PostgreSQL sends that: look at the server, and at what is between it and here "
    "(sslmode=verify-full in the URL lets nobody in).";

// Of an error that a parser gave for bytes of the source: damaged and its kin speak of the repository.
[[nodiscard]] inline Error source_fault(const Error& error) {
  return Error(ErrorCode::failed, error.describe()).with_hint(run_again);
}

}  // namespace pgstrata
