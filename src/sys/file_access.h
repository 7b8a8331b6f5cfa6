// What another user may do with files, tried out as that user.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace pgstrata {

// Runs `work` on a thread of its own that has the user's right to files, groups included, and waits for it;
// the rest of this process keeps its own. Needs root. What `work` makes belongs to the user. Errors:
// not_found (no such user), permission (this process may not become him), those of `work`.
[[nodiscard]] Result<void> with_file_access_of(const std::string& user,
                                               const std::function<Result<void>()>& work);

}  // namespace pgstrata
