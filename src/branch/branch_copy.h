// Makes a snapshot's restored files what a branch has made of them. Internal to the room.
#pragma once

#include "base/cancellation.h"
#include "branch/branch_home.h"
#include "restore/restore_layout.h"

namespace pgstrata {

struct CopiedChanges {
  std::uint64_t compared_bytes = 0;
  std::uint64_t written_bytes = 0;
};

// Reads of each file what the overlay has, writes what is otherwise in `layout`, and removes what the branch
// has not. Costs what was ever written in the branch and a look at each file, whatever the size of the rest.
//
// Exact where nobody writes meanwhile: the log says which blocks are the overlay's, all others are the
// snapshot's, and each file is synced before the log is asked. While somebody does, what it misses is found by
// the next call. pg_control is left out, and so is WAL that is the repository's. Errors: damaged; no_space;
// cancelled.
[[nodiscard]] Result<CopiedChanges> copy_changes(const BranchHome& home, const RestoreLayout& layout,
                                                 const Cancellation& cancellation);

}  // namespace pgstrata
