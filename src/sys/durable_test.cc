#include "sys/durable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/lock_file.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

class Durable : public testing::Test {
 protected:
  std::filesystem::path at(std::string_view name) const { return directory_.path() / name; }
  std::string text(std::string_view name) const { return std::string(as_text(read_file(at(name)).value())); }
  std::size_t entries() const { return list_directory(directory_.path()).value().size(); }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-durable-").value();
};

TEST_F(Durable, WriteFileReplacesAsAWholeAndLeavesNoTemporary) {
  ASSERT_TRUE(durable_write_file(at("f"), as_byte_view("one"), 0640));
  EXPECT_EQ(text("f"), "one");
  EXPECT_EQ(stat_file(at("f")).value().permissions, 0640U);
  const auto before = stat_file(at("f")).value().inode;
  ASSERT_TRUE(durable_write_file(at("f"), as_byte_view("two")));
  EXPECT_EQ(text("f"), "two");
  EXPECT_NE(stat_file(at("f")).value().inode, before);
  EXPECT_EQ(entries(), 1U);
}

TEST_F(Durable, AFailedWriteFileLeavesNothing) {
  EXPECT_EQ(durable_write_file(at("missing/f"), as_byte_view("x")).error().code(), ErrorCode::not_found);
  ASSERT_TRUE(make_directories(at("folder/inside")));
  EXPECT_FALSE(durable_write_file(at("folder"), as_byte_view("x"))) << "a folder has the name";
  EXPECT_EQ(entries(), 1U);
}

TEST_F(Durable, RenamesAndRemoves) {
  ASSERT_TRUE(durable_make_directories(at("a/b")));
  ASSERT_TRUE(durable_make_directories(at("a/b")));
  ASSERT_TRUE(durable_write_file(at("f"), as_byte_view("x")));
  ASSERT_TRUE(durable_rename_to_new(at("f"), at("a/b/f")));
  ASSERT_TRUE(durable_write_file(at("f"), as_byte_view("y")));
  EXPECT_EQ(durable_rename_to_new(at("f"), at("a/b/f")).error().code(), ErrorCode::already_exists);
  EXPECT_EQ(text("a/b/f"), "x");
  ASSERT_TRUE(durable_rename(at("f"), at("a/b/f")));
  EXPECT_EQ(text("a/b/f"), "y");
  ASSERT_TRUE(durable_remove(at("a/b/f")));
  EXPECT_EQ(durable_remove(at("a/b/f")).error().code(), ErrorCode::not_found);
}

TEST_F(Durable, SyncsFilesAndFolders) {
  const auto file = open_file(at("f"), O_RDWR | O_CREAT).value();
  ASSERT_TRUE(write_all(file, as_byte_view("x")));
  start_writing_back(file, 0, 1);
  EXPECT_TRUE(sync_file_data(file));
  EXPECT_TRUE(sync_file(file));
  EXPECT_TRUE(sync_directory(directory_.path()));
  EXPECT_FALSE(sync_directory(at("f")));
  EXPECT_FALSE(sync_file(FileDescriptor()));
}

TEST_F(Durable, ALockHasOneHolderUntilItIsDropped) {
  {
    const auto held = LockFile::acquire(at("lock"));
    ASSERT_TRUE(held) << held.error().describe();
    const auto second = LockFile::try_acquire(at("lock"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), ErrorCode::busy);
    EXPECT_THAT(second.error().message(), testing::HasSubstr(at("lock").native()));
  }
  EXPECT_TRUE(LockFile::try_acquire(at("lock")));
  EXPECT_TRUE(file_exists(at("lock")).value());
}

}  // namespace
}  // namespace pgstrata
