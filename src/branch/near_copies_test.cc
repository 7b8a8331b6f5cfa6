#include "branch/near_copies.h"

#include <deque>

#include <unistd.h>

#include "repo/test_store.h"
#include "support/slow_mount.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

class FarStore : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  [[nodiscard]] StoreCapabilities capabilities() const override {
    auto capabilities = BorrowedStore::capabilities();
    capabilities.far = true;
    return capabilities;
  }
};

class NearCopiesTest : public ::testing::Test {
 protected:
  ClusterSpace cluster_in(std::unique_ptr<ObjectStore> store) {
    repositories_.push_back(Repository::create(std::move(store), NoEncryption{}, clock_).value());
    return repositories_.back().create_cluster("app").value();
  }

  pgstrata::TemporaryDirectory directory_ = pgstrata::TemporaryDirectory::create("pgs-near-copies-").value();
  MemoryStore store_;
  MemoryStore other_;

 private:
  HeldClock clock_;
  std::deque<Repository> repositories_;
};

TEST_F(NearCopiesTest, AreOfAStoreThatIsFarAlone) {
  const auto near = cluster_in(borrow(store_));
  EXPECT_EQ(open_near_copies(near, directory_.path()), nullptr);
  const auto far = cluster_in(std::make_unique<FarStore>(other_));
  EXPECT_NE(open_near_copies(far, directory_.path() / "not" / "made"), nullptr);
}

TEST_F(NearCopiesTest, AreNotKeptWhereTheStateFolderIsAsFar) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "SKIPPED: needs /dev/fuse";
  const auto cluster = cluster_in(std::make_unique<FarStore>(store_));
  for (const auto* name : {"there", "mount"}) ASSERT_TRUE(make_directories(directory_.path() / name));
  const pgstrata::testing::SlowMount mount(directory_.path() / "there", directory_.path() / "mount",
                                           std::chrono::microseconds(0));
  EXPECT_EQ(open_near_copies(cluster, mount.path()), nullptr);
  EXPECT_EQ(open_near_copies(cluster, mount.path() / "not" / "made"), nullptr);
}

// A pack is one, however it was opened; WAL of one name can be two.
TEST_F(NearCopiesTest, PacksAreKnownByTheirNamesAndWalByWhatItIs) {
  const auto cluster = cluster_in(std::make_unique<FarStore>(store_));
  const auto copies = open_near_copies(cluster, directory_.path());
  ASSERT_NE(copies, nullptr);
  Bytes into(10);
  const auto is_kept = [&](const std::string& name) {
    EXPECT_TRUE(copies->read_some(name, 0, into));
    return copies->forget_copies(name, 0, 10);
  };
  for (const auto* name : {"packs/1", "wal/1", "wal/1.tail", "snapshots/1"}) {
    SCOPED_TRACE(name);
    const auto object = cluster.object_name(name);
    ASSERT_TRUE(store_.put(object, Bytes(100)));
    EXPECT_EQ(is_kept(object), name == std::string_view("packs/1"));
    ASSERT_TRUE(copies->stat(object));
    EXPECT_EQ(is_kept(object), name == std::string_view("packs/1") || name == std::string_view("wal/1"));
  }
}

}  // namespace
}  // namespace pgstrata
