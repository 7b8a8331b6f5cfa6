// What the process that serves a branch's files could not give its server: the server knows of an I/O error
// only.
#pragma once

#include "branch/branch_home.h"

namespace pgstrata {

// As that process logs them: that it begins, and what failed since.
inline constexpr std::string_view mount_begins_words = "begins to serve its files";
[[nodiscard]] std::string mount_failure_words(const Error& error);

// `error` of a branch's server, with the first failure since its files are served if there was one: then it is
// damaged or no_space as that one was, and names the object. Reads the mount's log.
[[nodiscard]] Error explained_by_mount(const BranchHome& home, Error error);

}  // namespace pgstrata
