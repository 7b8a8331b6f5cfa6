#include "pg/server/postmaster_pid.h"

#include <csignal>

#include <gtest/gtest.h>
#include <unistd.h>

#include "support/no_sight_of_others.h"
#include "sys/process.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

// Root can start a process as another user; for all others, process 1 is one.
std::optional<std::string> other_user() {
  if (::geteuid() != 0) return std::nullopt;
  return "postgres";
}

TEST(PostmasterPid, ReadsWhatIsThereSoFar) {
  const std::string whole = "4711\n/data\n1700000000\n5432\n/run\n*\n  5432001     12345\nready   \n";
  const auto parsed = parse_postmaster_pid(whole);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->pid, 4711);
  EXPECT_EQ(parsed->port, 5432);
  EXPECT_EQ(parsed->socket_directory, "/run");
  EXPECT_EQ(parsed->status, "ready");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto part = parse_postmaster_pid(whole.substr(0, size));
    EXPECT_EQ(part.has_value(), size >= 5) << size;
    if (part.has_value()) {
      EXPECT_EQ(part->status, "") << size;
    }
  }
}

TEST(PostmasterPid, TellsASingleUserBackend) {
  const auto parsed = parse_postmaster_pid("-4711\n/data\n");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->pid, 4711);
  EXPECT_TRUE(parsed->single_user);
}

TEST(PostmasterPid, RefusesWhatIsNone) {
  EXPECT_FALSE(parse_postmaster_pid("0\n/data\n").has_value());
  EXPECT_FALSE(parse_postmaster_pid("47x\n").has_value());
  EXPECT_FALSE(parse_postmaster_pid("-2147483648\n").has_value());
}

TEST(PostmasterPid, MissingFileAndForeignProcess) {
  const auto directory = TemporaryDirectory::create("pid");
  ASSERT_TRUE(directory.has_value());
  const auto none = read_postmaster_pid(directory->path());
  ASSERT_TRUE(none.has_value());
  EXPECT_FALSE(none->has_value());
  EXPECT_EQ(look_for_postmaster(::getpid(), directory->path()), PostmasterSight::absent);
  EXPECT_EQ(look_for_postmaster(::getpid(), std::filesystem::current_path()), PostmasterSight::running);
}

TEST(PostmasterPid, AProcessThatMayNotBeLookedAtIsNotAbsent) {
  const auto directory = TemporaryDirectory::create("pid");
  ASSERT_TRUE(directory.has_value());
  auto other = ChildProcess::spawn({.arguments = {"sleep", "1000"}, .user = other_user()});
  ASSERT_TRUE(other.has_value()) << other.error().describe();
  const pid_t pid = ::geteuid() == 0 ? other->pid() : 1;
  {
    const testing::NoSightOfOthers blind;
    EXPECT_EQ(look_for_postmaster(pid, directory->path()), PostmasterSight::hidden);
  }
  ASSERT_TRUE(other->signal(SIGKILL).has_value());
  ASSERT_TRUE(other->wait().has_value());
  const testing::NoSightOfOthers blind;
  EXPECT_EQ(look_for_postmaster(other->pid(), directory->path()), PostmasterSight::absent);
}

}  // namespace
}  // namespace pgstrata
