// A user of this machine, with what it takes to act as him. Internal to the room.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"

namespace pgstrata {

struct UserSwitch {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;
  std::string home;
};

// Error: not_found.
[[nodiscard]] Result<UserSwitch> look_up_user(const std::string& name);

}  // namespace pgstrata
