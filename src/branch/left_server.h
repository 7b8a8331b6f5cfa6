// Processes of a branch's server that nobody looks after any more. Internal to the room.
#pragma once

#include <sys/types.h>

#include "branch/branch_home.h"

namespace pgstrata {

// Which process the branch's server is, kept beside the mount.
Result<void> note_server_process(const BranchHome& home, pid_t postmaster);
// It is that process, and alive: what the server's own files say of it may be anybody's word.
[[nodiscard]] bool is_noted_server(const BranchHome& home, pid_t postmaster);

// Ends the postmaster that was noted, and what a dead one left behind, which would keep the mount busy and
// could go on writing. For a server that cannot be asked to stop: its mount is dead, or it is. None there is
// no error. Error: busy, when they do not end.
[[nodiscard]] Result<void> end_left_server(const BranchHome& home);

}  // namespace pgstrata
