#include "pg/server/postmaster_pid.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

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

TEST(PostmasterPid, RefusesWhatIsNone) {
  EXPECT_FALSE(parse_postmaster_pid("-4711\n/data\n").has_value());  // a single-user backend
  EXPECT_FALSE(parse_postmaster_pid("47x\n").has_value());
}

TEST(PostmasterPid, MissingFileAndForeignProcess) {
  const auto directory = TemporaryDirectory::create("pid");
  ASSERT_TRUE(directory.has_value());
  const auto none = read_postmaster_pid(directory->path());
  ASSERT_TRUE(none.has_value());
  EXPECT_FALSE(none->has_value());
  EXPECT_FALSE(is_postmaster_of(::getpid(), directory->path()));
  EXPECT_TRUE(is_postmaster_of(::getpid(), std::filesystem::current_path()));
}

}  // namespace
}  // namespace pgstrata
