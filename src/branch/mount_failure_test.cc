#include "branch/mount_failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/child_process.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

TEST(MountFailureTest, ExplainsWhatTheServerSays) {
  const testing::TemporaryDirectory folder;
  const BranchHome home(folder.path(), "app", "one");
  ASSERT_TRUE(make_directories(home.path()).has_value());
  const auto server = make_error(ErrorCode::failed, "PostgreSQL exited with code 1");
  EXPECT_EQ(explained_by_mount(home, server).message(), server.message()) << "without a log";
  const auto lost =
      make_error(ErrorCode::damaged, "pack \"0a\" is damaged: at 17").with_context("read base/1");
  const auto log = fmt::format("9:59 error: {}\n10:00 info: {}\n10:01 error: {}\n10:02 error: {}\n",
                               mount_failure_words(make_error(ErrorCode::unavailable, "of an earlier mount")),
                               mount_begins_words, mount_failure_words(lost),
                               mount_failure_words(make_error(ErrorCode::no_space, "full")));
  ASSERT_TRUE(write_file(home.mount_log(), as_byte_view(log)).has_value());
  const auto explained = explained_by_mount(home, server);
  EXPECT_EQ(explained.code(), ErrorCode::damaged);
  EXPECT_EQ(explained.message(),
            "read base/1: pack \"0a\" is damaged: at 17; so the branch's server failed: PostgreSQL exited "
            "with code 1");
  EXPECT_THAT(explained.hint(), ::testing::HasSubstr("pgstrata verify"));
}

}  // namespace
}  // namespace pgstrata
