#include "branch/branch_setup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "restore/target_directory.h"
#include "support/slow_mount.h"
#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

// There a file that is open when it is removed stays in its folder, under another name, until it is closed.
TEST(BranchSetup, ABranchIsRemovedFromAFileSystemInUserSpace) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "SKIPPED: needs /dev/fuse";
  const auto directory = TemporaryDirectory::create("pgs-branch-setup-").value();
  for (const auto* name : {"there", "mount"}) ASSERT_TRUE(make_directories(directory.path() / name));
  const testing::SlowMount mount(directory.path() / "there", directory.path() / "mount",
                                 std::chrono::microseconds(0));
  const BranchHome home(mount.path(), "app", "try");
  for (int round = 0; round < 2; ++round) {
    const auto lock = make_branch_folder(home, choose_owner(home.data()).value());
    ASSERT_TRUE(lock) << lock.error().describe();
    const auto removed = remove_branch(home);
    EXPECT_TRUE(removed) << removed.error().describe();
    EXPECT_FALSE(file_exists(home.path()).value());
  }
}

}  // namespace
}  // namespace pgstrata
