// What is wrong with a branch, in words, and where they can be read up. Internal to the room.
#pragma once

#include <optional>
#include <string>

#include "branch/branch_home.h"

namespace pgstrata {

// Nothing where the disk of the branch has room for a server to write.
[[nodiscard]] std::optional<std::string> lack_of_room(const BranchHome& home);
// Of a branch that is to run and does not. `mounted`: its files are there.
[[nodiscard]] std::string trouble_of(const BranchHome& home, bool mounted);

// The logs of a branch that could not be made are kept beside its folder, which is about to go, as
// NAME.postgres.log and NAME.mount.log; the hint says so.
[[nodiscard]] Error with_kept_logs(const BranchHome& home, Error error);
void remove_kept_logs(const BranchHome& home);

}  // namespace pgstrata
