// An overlay as the kernel shows it, against the file systems that everybody trusts.
#include "branch/fuse/fuse_mount.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "branch/memory_base_files.h"
#include "support/child_process.h"
#include "support/file_exerciser.h"
#include "support/file_tree.h"
#include "support/fio_verify.h"
#include "support/test_failure.h"
#include "support/test_seed.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

using ::testing::Each;
using testing::FileExerciser;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::server_user;
using testing::TemporaryDirectory;
using testing::TestFailure;

// A mount that goes and comes back.
class MountedOverlay {
 public:
  MountedOverlay(BaseFiles& base, uid_t user, gid_t group) : base_(base), user_(user), group_(group) {
    overlay_folder_ = folder_.make("overlay");
    mount_point_ = folder_.make("mount");
    mount();
  }
  ~MountedOverlay() {
    if (!serving_.joinable()) return;
    static_cast<void>(unmount_fuse(mount_point_, true));
    serving_.join();
  }
  MountedOverlay(const MountedOverlay&) = delete;
  MountedOverlay& operator=(const MountedOverlay&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return mount_point_; }
  void remount() {
    unmount();
    mount();
  }
  // All is the overlay's then.
  void unmount() {
    need(unmount_fuse(mount_point_, false));
    serving_.join();
    mount_.reset();
    need(overlay_->sync_all());
    overlay_.reset();
  }

 private:
  static void need(const Result<void>& done) {
    if (!done) throw TestFailure(done.error().describe());
  }
  void mount() {
    auto overlay = Overlay::open(overlay_folder_, base_);
    if (!overlay) throw TestFailure(overlay.error().describe());
    overlay_ = *std::move(overlay);
    auto mount = FuseMount::mount(*overlay_, {.mount_point = mount_point_, .user = user_, .group = group_});
    if (!mount) throw TestFailure(mount.error().describe());
    mount_ = *std::move(mount);
    serving_ = std::thread([this] { static_cast<void>(mount_->serve()); });
  }

  TemporaryDirectory folder_;
  std::filesystem::path overlay_folder_;
  std::filesystem::path mount_point_;
  BaseFiles& base_;
  const uid_t user_;
  const gid_t group_;
  std::unique_ptr<Overlay> overlay_;
  std::unique_ptr<FuseMount> mount_;
  std::thread serving_;
};

void add_varied_tree(MemoryBaseFiles& base, std::uint64_t seed) {
  const TemporaryDirectory tree;
  testing::make_varied_tree(tree.path(), seed);
  for (const auto& entry : testing::walk_tree(tree.path())) {
    if (S_ISDIR(entry.status.st_mode)) base.add_folder(entry.path);
    if (S_ISREG(entry.status.st_mode)) {
      const auto content = read_file(tree.path() / entry.path);
      base.add_file(entry.path, std::string(as_text(*content)));
    }
  }
}

class FuseMountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto possible = check_fuse(); !possible)
      GTEST_SKIP() << "SKIPPED: " << possible.error().describe();
  }
};

TEST_F(FuseMountTest, DoesAsAnyFileSystemDoes) {
  const std::uint64_t first_seed = testing::test_seed(20261130);
  std::map<std::string, int> successes;
  for (std::uint64_t seed = first_seed; seed < first_seed + 4; ++seed) {
    MemoryBaseFiles base;
    add_varied_tree(base, seed);
    const TemporaryDirectory model;
    testing::make_varied_tree(model.path(), seed);
    MountedOverlay mounted(base, ::geteuid(), ::getegid());
    ASSERT_THAT(testing::tree_differences(mounted.path(), model.path()), IsEmpty());
    testing::FileExerciserOptions options{.subject = mounted.path(), .model = model.path(), .seed = seed};
    options.operations = 1'500;
    options.remount_every = 400;
    options.remount = [&] { mounted.remount(); };
    FileExerciser exerciser(options);
    exerciser.run();
    mounted.remount();
    EXPECT_THAT(testing::tree_differences(mounted.path(), model.path()), IsEmpty());
    for (const auto& [operation, count] : exerciser.successes()) successes[operation] += count;
  }
  EXPECT_THAT(successes, Each(Pair(::testing::_, Gt(0))));
}

TEST_F(FuseMountTest, PassesFiosVerification) {
  if (::access("/usr/bin/fio", X_OK) != 0) GTEST_SKIP() << "SKIPPED: fio is not installed";
  MemoryBaseFiles base;
  MountedOverlay mounted(base, server_user().uid, server_user().gid);
  const auto verdict = testing::run_fio_verify(mounted.path(), [&] { mounted.remount(); });
  EXPECT_TRUE(verdict.passed) << verdict.output;
}

TEST_F(FuseMountTest, TellsTheCallerOfWhatTheBaseLost) {
  MemoryBaseFiles base;
  base.add_file("file", std::string(10'000, 'x'));
  MountedOverlay mounted(base, ::geteuid(), ::getegid());
  const auto file = open_file(mounted.path() / "file", O_RDWR);
  ASSERT_TRUE(file.has_value());
  base.fail_all();
  Bytes into(10);
  EXPECT_EQ(read_at_most(*file, 0, into).error().error_number(), EIO);
  EXPECT_EQ(stat_file(mounted.path() / "other").error().error_number(), EIO);
  EXPECT_EQ(list_directory(mounted.path()).error().error_number(), EIO);
}

}  // namespace
}  // namespace pgstrata
