#include "sys/user_lookup.h"

#include <algorithm>

#include <grp.h>
#include <pwd.h>

namespace pgstrata {

Result<UserSwitch> look_up_user(const std::string& name) {
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  const int error_number = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    if (error_number == 0) return fail(ErrorCode::not_found, "there is no user \"{}\"", name);
    return std::unexpected(
        error_from_errno(error_number, fmt::format("could not look up user \"{}\"", name)));
  }
  UserSwitch user{.user = entry.pw_uid, .group = entry.pw_gid, .groups = {}, .home = entry.pw_dir};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  while (::getgrouplist(name.c_str(), entry.pw_gid, user.groups.data(), &count) < 0) {
    user.groups.resize(std::max(static_cast<std::size_t>(count), 2 * user.groups.size()));
    count = static_cast<int>(user.groups.size());
  }
  user.groups.resize(static_cast<std::size_t>(count));
  return user;
}

}  // namespace pgstrata
