// The half of spawn that runs between fork and exec, and what it needs prepared. Private to process.cc.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"
#include "sys/process.h"
#include "sys/user_lookup.h"

namespace pgstrata {

// Everything the child needs, allocated before the fork: after it, only async-signal-safe calls are allowed,
// because another thread may hold the allocator's lock for ever.
struct Launch {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::vector<char*> argument_pointers;     // into arguments, null at the end
  std::vector<char*> environment_pointers;  // into environment, null at the end
  std::optional<UserSwitch> user;
  std::string working_directory;
  bool new_session = false;
  std::array<int, 3> streams{};  // descriptors to become 0, 1 and 2; -1 leaves one as it is
};

// Where the child failed; it travels to the parent through a pipe.
enum class LaunchStep : int { session, streams, directory, groups, group, user, exec };

struct LaunchFailure {
  LaunchStep step;
  int error_number;
};

[[nodiscard]] Result<Launch> prepare_launch(const ProcessOptions& options);
[[noreturn]] void launch_in_child(const Launch& launch, int failure_pipe);
[[nodiscard]] Error launch_error(const ProcessOptions& options, LaunchFailure failure);

}  // namespace pgstrata
