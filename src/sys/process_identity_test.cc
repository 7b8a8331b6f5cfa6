#include "sys/process_identity.h"

#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/process.h"

namespace pgstrata {
namespace {

TEST(ProcessIdentity, OneselfIsAlive) {
  const auto self = ProcessIdentity::self();
  ASSERT_TRUE(self) << self.error().describe();
  EXPECT_EQ(self->pid, ::getpid());
  EXPECT_GT(self->start_ticks, 0U);
  EXPECT_EQ(self->boot_id.size(), 36U);
  EXPECT_EQ(self->liveness(), Liveness::alive);
  EXPECT_EQ(*self, ProcessIdentity::self().value());
}

TEST(ProcessIdentity, AChildDiesWhenItEndsEvenBeforeItIsReaped) {
  auto child = ChildProcess::spawn({.arguments = {"sleep", "1000"}}).value();
  const auto identity = ProcessIdentity::of(child.pid()).value();
  EXPECT_EQ(identity.liveness(), Liveness::alive);
  ASSERT_TRUE(child.signal(SIGKILL));
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(identity.liveness(), Liveness::dead) << "a zombie";
  ASSERT_TRUE(child.wait());
  EXPECT_EQ(identity.liveness(), Liveness::dead);
  EXPECT_EQ(ProcessIdentity::of(child.pid()).error().code(), ErrorCode::not_found);
}

TEST(ProcessIdentity, AReusedProcessIdIsDeadAndAnotherMachineUnknown) {
  const auto self = ProcessIdentity::self().value();
  auto earlier = self;
  --earlier.start_ticks;
  EXPECT_EQ(earlier.liveness(), Liveness::dead);
  auto elsewhere = self;
  elsewhere.host_name += "x";
  EXPECT_EQ(elsewhere.liveness(), Liveness::unknown);
  auto other_boot = self;
  other_boot.boot_id.front() = other_boot.boot_id.front() == '0' ? '1' : '0';
  EXPECT_EQ(other_boot.liveness(), Liveness::unknown);
  auto container = self;
  ++container.pid_namespace;
  EXPECT_EQ(container.liveness(), Liveness::unknown);
}

// Stands in for a /proc that hides the processes of others (hidepid): what tells who we are is there, and no
// process.
bool hide_all_processes(const ProcessIdentity& self) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) {
    return false;
  }
  std::error_code error;
  std::filesystem::create_directories("/proc/sys/kernel/random", error);
  std::filesystem::create_directories("/proc/self/ns", error);
  std::filesystem::create_symlink(fmt::format("pid:[{}]", self.pid_namespace), "/proc/self/ns/pid", error);
  return !error && write_file("/proc/sys/kernel/random/boot_id", as_byte_view(self.boot_id));
}

TEST(ProcessIdentity, AProcessThatProcHidesIsUnknownNotDead) {
  auto ended = ProcessIdentity::self().value();
  const auto self = ended;
  const pid_t short_lived = ::fork();
  if (short_lived == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(short_lived, nullptr, 0), short_lived);
  ended.pid = short_lived;
  constexpr int no_mounts = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    if (!hide_all_processes(self)) ::_exit(no_mounts);
    if (self.liveness() != Liveness::unknown) ::_exit(1);
    ::_exit(ended.liveness() == Liveness::dead ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == no_mounts) GTEST_SKIP() << "mounting is not allowed";
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

TEST(ProcessIdentity, RoundTripsAsText) {
  ProcessIdentity identity{.host_name = "db-1.example.org",
                           .boot_id = "4f1c7a52-2f0e-4c7e-9d6e-2d0f3c1b9a77",
                           .pid_namespace = 4026531836,
                           .pid = 1234,
                           .start_ticks = 56789};
  EXPECT_EQ(to_string(identity),
            "1234.56789.4026531836.4f1c7a52-2f0e-4c7e-9d6e-2d0f3c1b9a77.db-1.example.org");
  EXPECT_EQ(parse_process_identity(to_string(identity)).value(), identity);
  for (const char* const text :
       {"", "1.2.3", "1.2.3.b", "1.2.3.b.", "x.2.3.b.h", "-1.2.3.b.h", "1.2.3.b.h/h", "0.1.2.b.h"}) {
    EXPECT_EQ(parse_process_identity(text).error().code(), ErrorCode::usage) << text;
  }
}

}  // namespace
}  // namespace pgstrata
