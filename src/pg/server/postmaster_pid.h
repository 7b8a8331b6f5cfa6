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

// Whether `pid` is a process that works in this data directory, as every postmaster does in its own: the file
// alone outlives a crash.
[[nodiscard]] bool is_postmaster_of(pid_t pid, const std::filesystem::path& data_directory);

}  // namespace pgstrata
