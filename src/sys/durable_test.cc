#include "sys/durable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/lock_file.h"
#include "sys/synced_paths_for_test.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

class Durable : public testing::Test {
 protected:
  std::filesystem::path at(std::string_view name) const { return directory_.path() / name; }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-durable-").value();
};

TEST_F(Durable, MakesFoldersAndRemovesFiles) {
  ASSERT_TRUE(durable_make_directories(at("a/b")));
  ASSERT_TRUE(durable_make_directories(at("a/b")));
  ASSERT_TRUE(write_file(at("a/b/f"), as_byte_view("x")));
  EXPECT_FALSE(durable_make_directories(at("a/b/f")));
  ASSERT_TRUE(durable_remove(at("a/b/f")));
  EXPECT_EQ(durable_remove(at("a/b/f")).error().code(), ErrorCode::not_found);
}

// Who made it may have died before it was durable.
TEST_F(Durable, AFolderThatIsThereIsMadeDurable) {
  ASSERT_TRUE(make_directories(at("a/b")));
  const auto root = std::filesystem::canonical(directory_.path());
  for (const auto* name : {"a/b", "a/b/", "a/b//"}) {
    const auto paths = paths_synced_by([&] { EXPECT_TRUE(durable_make_directories(at(name))); });
    EXPECT_THAT(paths, testing::ElementsAre(root / "a")) << name;
  }
  const auto paths = paths_synced_by([&] { EXPECT_TRUE(durable_make_directories(at("a/c/d/"))); });
  EXPECT_THAT(paths, testing::ElementsAre(root, root / "a", root / "a/c"));
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
