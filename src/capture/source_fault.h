// Errors for what a source sends that PostgreSQL would not: the fault is the server's or the network's, the
// repository is as it was. Internal to this room.
#pragma once

#include "base/result.h"

namespace pgstrata {

inline constexpr const char* run_again =
    "Nothing was published. Run the backup again; if it happens again, check the source's disk and the "
    "network in between.";
inline constexpr const char* not_postgresql =
    "Nothing was published. No PostgreSQL sends that: look at the server, and at what is between it and here "
    "(sslmode=verify-full in the URL lets nobody in).";

// What a parser said of the source's bytes. Its damaged and newer_format are for what is stored; here the
// first is failed, the second unsupported. Other errors stay as they are.
template <class T>
Result<T> of_source(Result<T> parsed) {
  if (parsed) return parsed;
  const auto& error = parsed.error();
  if (error.code() == ErrorCode::damaged)
    return std::unexpected(Error(ErrorCode::failed, error.describe()).with_hint(run_again));
  if (error.code() == ErrorCode::newer_format)
    return std::unexpected(Error(ErrorCode::unsupported, error.describe())
                               .with_hint("Nothing was published. The server is newer than this pgstrata."));
  return parsed;
}

}  // namespace pgstrata
