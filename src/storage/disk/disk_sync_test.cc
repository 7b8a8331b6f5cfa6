// That the store syncs what it promises to be durable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/disk/disk_store.h"
#include "sys/synced_paths_for_test.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::Contains;
using ::testing::IsSupersetOf;
using ::testing::Not;

class DiskSyncTest : public ::testing::Test {
 protected:
  // A name whose writer died before it was durable.
  void leave(const std::string& name) {
    std::filesystem::create_directories((path_ / name).parent_path());
    ASSERT_TRUE(write_file(path_ / name, as_byte_view("x")));
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-sync-").value();
  std::filesystem::path path_ = std::filesystem::canonical(directory_.path()) / "store";
  std::unique_ptr<DiskStore> store_ = DiskStore::open_or_make(path_).value();
};

TEST_F(DiskSyncTest, ATakenNameIsDurableWhenThatIsSaid) {
  leave("a/b/c");
  const auto paths = paths_synced_by(
      [&] { EXPECT_EQ(store_->put("a/b/c", as_byte_view("y")).error().code(), ErrorCode::already_exists); });
  EXPECT_THAT(paths, IsSupersetOf({path_ / "a/b", path_ / "a", path_}));
  // Also when this process has made other names durable there before.
  ASSERT_TRUE(store_->put("a/b/d", as_byte_view("y")));
  const auto again = paths_synced_by([&] {
    EXPECT_EQ(store_->create("a/b/c").value()->commit().error().code(), ErrorCode::already_exists);
  });
  EXPECT_THAT(again, Contains(path_ / "a/b"));
}

// Whoever renews a lease must not wait for another's disk.
TEST_F(DiskSyncTest, NothingIsSyncedUnderTheLock) {
  const auto first = store_->replace("lease/a", std::nullopt, as_byte_view("1")).value();
  bool locked = false;
  const auto paths = paths_synced_by(
      [&] {
        EXPECT_TRUE(store_->replace("lease/a", first, as_byte_view("2")));
        EXPECT_TRUE(store_->replace("other/a", std::nullopt, as_byte_view("1")));
        EXPECT_TRUE(store_->remove("lease/a"));
      },
      [&] { locked = locked || !LockFile::try_acquire(path_ / ".lock"); });
  EXPECT_THAT(paths, IsSupersetOf({path_ / "lease", path_ / "other", path_}));
  EXPECT_FALSE(locked);
}

TEST_F(DiskSyncTest, FoundNamesAreMadeDurableUpToTheRoot) {
  leave("clusters/app/wal/1/x");
  leave("clusters/app/wal/2/y");
  leave("clusters/app/packs/z");
  const auto paths = paths_synced_by([&] { EXPECT_TRUE(store_->make_names_durable("clusters/app/wal/")); });
  EXPECT_THAT(paths,
              IsSupersetOf({path_, path_ / "clusters", path_ / "clusters/app", path_ / "clusters/app/wal",
                            path_ / "clusters/app/wal/1", path_ / "clusters/app/wal/2"}));
  EXPECT_THAT(paths, Not(Contains(path_ / "clusters/app/packs")));
  const auto one = paths_synced_by([&] { EXPECT_TRUE(store_->make_names_durable("clusters/app/packs/z")); });
  EXPECT_THAT(one, Contains(path_ / "clusters/app/packs"));
}

}  // namespace
}  // namespace pgstrata
