// The lock file of a running postmaster. Private to this room.
//
// Lines: process id, data directory, start time, port, socket directory, listen address, shared memory,
// status. The first are written at start, the rest as they become known.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/result.h"

namespace pgstrata {

struct PostmasterPid {
  pid_t pid = 0;
  bool single_user = false;  // a backend of its own, to which nobody can connect
  std::uint16_t port = 0;
  std::string socket_directory;
  // "starting"; "standby": recovering, not open; "ready": open, be it to reads alone; "stopping". Empty at
  // first.
  std::string status;
};

// Nothing when it is not, or not yet, a whole first line.
[[nodiscard]] std::optional<PostmasterPid> parse_postmaster_pid(std::string_view text);
// Nothing when there is no such file.
[[nodiscard]] Result<std::optional<PostmasterPid>> read_postmaster_pid(
    const std::filesystem::path& data_directory);

enum class PostmasterSight {
  absent,   // there is no such process, or it works elsewhere
  running,  // it works in this data directory, as every postmaster does in its own
  hidden,   // it is alive, and this process may not see where it works (it takes the same user, or a right)
};
// The file alone outlives a crash, and its process id may have been given to another process since.
[[nodiscard]] PostmasterSight look_for_postmaster(pid_t pid, const std::filesystem::path& data_directory);

}  // namespace pgstrata
