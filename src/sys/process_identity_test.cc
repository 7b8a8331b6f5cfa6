#include "sys/process_identity.h"

#include <csignal>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

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
