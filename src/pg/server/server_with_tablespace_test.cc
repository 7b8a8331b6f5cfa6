#include "pg/server/server_with_tablespace.h"

#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "support/child_process.h"
#include "support/no_sight_of_others.h"
#include "support/wait_until.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;

// What tells a server apart: a process called postgres that works in a directory with a postmaster.pid.
class ServerWithTablespaceTest : public ::testing::Test {
 protected:
  ServerWithTablespaceTest() {
    fs::copy_file("/bin/sleep", program_);
    fs::permissions(program_, fs::perms(0755));
    std::ofstream(data_ / "postmaster.pid") << "1\n";
    fs::create_directory(data_ / "pg_tblspc");
    fs::create_directory_symlink(used_, data_ / "pg_tblspc" / "16400");
    const std::vector<std::string> in_data = {"/bin/sh", "-c", "cd \"$0\" && exec \"$1\" 1000",
                                              data_.string(), program_.string()};
    process_ = std::make_unique<testing::ChildProcess>(
        testing::ChildCommand{.arguments = in_data, .output = "/dev/null", .errors = "/dev/null"});
  }

  // Once the process is where it should be.
  [[nodiscard]] bool ready() const {
    return testing::read_text(fmt::format("/proc/{}/comm", process_->pid())) == "postgres\n";
  }

  testing::TemporaryDirectory folder_;
  fs::path program_ = folder_.path() / "postgres";
  fs::path data_ = folder_.make("data");
  fs::path used_ = folder_.make("used");
  fs::path free_ = folder_.make("free");
  std::unique_ptr<testing::ChildProcess> process_;
};

TEST_F(ServerWithTablespaceTest, NamesItsDirectory) {
  testing::wait_until("the process", [&] { return ready(); });
  const auto user = server_with_tablespace(used_);
  ASSERT_TRUE(user.has_value()) << user.error().describe();
  ASSERT_TRUE(user->has_value());
  EXPECT_EQ(**user, fs::canonical(data_));
  const auto nobody = server_with_tablespace(free_);
  ASSERT_TRUE(nobody.has_value()) << nobody.error().describe();
  EXPECT_FALSE(nobody->has_value());
}

TEST_F(ServerWithTablespaceTest, OneThatMayNotBeLookedAtMayBeTheOne) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to start a process of another user";
  testing::wait_until("the process", [&] { return ready(); });
  const testing::NoSightOfOthers blind;
  const auto user = server_with_tablespace(used_);
  ASSERT_FALSE(user.has_value());
  EXPECT_EQ(user.error().code(), ErrorCode::busy) << user.error().describe();
  // A server of another user cannot keep its files in a folder of ours.
  fs::permissions(folder_.path(), fs::perms(0755));
  ASSERT_EQ(::chown(free_.c_str(), 0, 0), 0);
  const auto nobody = server_with_tablespace(free_);
  ASSERT_TRUE(nobody.has_value()) << nobody.error().describe();
  EXPECT_FALSE(nobody->has_value());
}

}  // namespace
}  // namespace pgstrata
