#include "sys/file_access.h"

#include <thread>

#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/user_lookup.h"

namespace pgstrata {
namespace {

// The system calls change the calling thread alone, unlike the C library's setgroups.
Result<void> become(const UserSwitch& user, const std::string& name) {
  if (::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) != 0) {
    return std::unexpected(error_from_errno(errno, fmt::format("could not take the groups of \"{}\"", name)));
  }
  // They say what was before, and nothing of success.
  ::setfsgid(user.group);
  ::setfsuid(user.user);
  if (static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) != user.user) {
    return fail(ErrorCode::permission, "could not take the rights of \"{}\"", name);
  }
  return {};
}

}  // namespace

Result<void> with_file_access_of(const std::string& user, const std::function<Result<void>()>& work) {
  PGS_TRY(const UserSwitch rights, look_up_user(user));
  Result<void> done;
  std::thread thread([&] {
    done = become(rights, user);
    if (done) done = work();
  });
  thread.join();
  return done;
}

}  // namespace pgstrata
