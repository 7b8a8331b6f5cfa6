#include "sys/file_access.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

TEST(FileAccess, IsTheOtherUsersAndOnlyForTheWork) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto directory = TemporaryDirectory::create("pgstrata-access-").value();
  const auto file = directory.path() / "file";
  ASSERT_TRUE(write_file(file, as_byte_view("x"), 0600));
  const auto read = [&]() -> Result<void> {
    PGS_TRY(const auto content, read_file(file));
    return content.size() == 1 ? Result<void>() : fail(ErrorCode::failed, "not all of it");
  };
  ASSERT_TRUE(with_file_access_of("root", read));
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  EXPECT_EQ(with_file_access_of("nobody", read).error().code(), ErrorCode::permission) << "the file";
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  EXPECT_TRUE(with_file_access_of("nobody", read));
  ASSERT_EQ(::chmod(directory.path().c_str(), 0700), 0);
  EXPECT_EQ(with_file_access_of("nobody", read).error().code(), ErrorCode::permission) << "the way to it";
  EXPECT_TRUE(read());
  EXPECT_EQ(with_file_access_of("no such user", read).error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace pgstrata
