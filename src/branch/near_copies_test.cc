#include "branch/near_copies.h"

#include <deque>

#include <sys/stat.h>
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

// The servers of a root's branches, which are another user's, have to get to their files.
TEST_F(NearCopiesTest, TheStateFolderThatTheyMakeCanBePassedThrough) {
  const auto cluster = cluster_in(std::make_unique<FarStore>(store_));
  const auto state = directory_.path() / "not" / "made";
  ASSERT_NE(open_near_copies(cluster, state), nullptr);
  EXPECT_EQ(stat_file(state)->permissions, 0711U);
  EXPECT_EQ(stat_file(state / "cache")->permissions, 0700U);
}

TEST_F(NearCopiesTest, AreNotKeptWhereSomebodyElseMayPutThings) {
  const auto cluster = cluster_in(std::make_unique<FarStore>(store_));
  const auto state = directory_.path() / "state";
  const auto cache = state / "cache";
  const auto are_kept = [&] { return open_near_copies(cluster, state) != nullptr; };
  ASSERT_TRUE(are_kept());
  const auto with_modes = [&](mode_t of_state, mode_t of_cache) {
    ::chmod(state.c_str(), of_state);
    ::chmod(cache.c_str(), of_cache);
    return are_kept();
  };
  EXPECT_FALSE(with_modes(0777, 0700));
  EXPECT_TRUE(with_modes(01777, 0700)) << "nobody else may rename what is ours";
  EXPECT_FALSE(with_modes(0711, 0777));
  EXPECT_FALSE(with_modes(0711, 01777));
  EXPECT_TRUE(with_modes(0711, 0750));
  std::filesystem::rename(cache, state / "elsewhere");
  std::filesystem::create_directory_symlink(state / "elsewhere", cache);
  EXPECT_FALSE(are_kept());
}

TEST_F(NearCopiesTest, AreNotKeptInAFolderOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
  constexpr uid_t somebody = 65'534;
  const auto cluster = cluster_in(std::make_unique<FarStore>(store_));
  const auto state = directory_.path() / "state";
  ASSERT_NE(open_near_copies(cluster, state), nullptr);
  ASSERT_EQ(::chown(state.c_str(), somebody, somebody), 0);
  EXPECT_EQ(open_near_copies(cluster, state), nullptr);
  ASSERT_EQ(::chown(state.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown((state / "cache").c_str(), somebody, somebody), 0);
  EXPECT_EQ(open_near_copies(cluster, state), nullptr);
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
