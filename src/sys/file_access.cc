#include "sys/file_access.h"

#include <map>
#include <mutex>
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

// The name service takes milliseconds to answer, more where it asks another machine. What it said holds for a
// while.
class LatelyLookedUp {
 public:
  Result<UserSwitch> find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const auto known = users_.find(name);
    if (known != users_.end() && now - known->second.second < holds_for) return known->second.first;
    PGS_TRY(auto user, look_up_user(name));
    users_[name] = {user, now};
    return user;
  }

 private:
  static constexpr auto holds_for = std::chrono::seconds(10);
  std::mutex mutex_;
  std::map<std::string, std::pair<UserSwitch, std::chrono::steady_clock::time_point>> users_;
};

Result<UserSwitch> find_user(const std::string& name) {
  static LatelyLookedUp users;
  return users.find(name);
}

}  // namespace

Result<void> with_file_access_of(const std::string& user, const std::function<Result<void>()>& work) {
  PGS_TRY(const UserSwitch rights, find_user(user));
  Result<void> done;
  std::thread thread([&] {
    done = become(rights, user);
    if (done) done = work();
  });
  thread.join();
  return done;
}

}  // namespace pgstrata
