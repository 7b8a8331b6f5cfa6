// An overlay as the kernel shows it, against the file systems that everybody trusts.
#include "branch/fuse/fuse_mount.h"

#include <array>
#include <csignal>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitized.h"
#include "branch/memory_base_files.h"
#include "support/child_process.h"
#include "support/file_exerciser.h"
#include "support/file_tree.h"
#include "support/fio_verify.h"
#include "support/test_failure.h"
#include "support/test_seed.h"
#include "support/thoroughness.h"
#include "support/wait_until.h"
#include "sys/durable.h"

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

struct Owner {
  uid_t uid;
  gid_t gid;
};
Owner this_user() {
  return {::geteuid(), ::getegid()};
}

// A process of its own serves it, to be killed; and not this one for another reason: whoever touches a page of a
// mapping holds what the server needs to get memory.
class ServingProcess {
 public:
  ServingProcess(const std::filesystem::path& folder, const std::filesystem::path& mount_point,
                 BaseFiles& base, const Owner& user, std::vector<NodeId> fixed_folders = {})
      : mount_point_(mount_point), pid_(::fork()) {
    if (pid_ == 0) serve(folder, base, {mount_point_, user.uid, user.gid, std::move(fixed_folders)});
    testing::wait_until("the mount", [&] { return *is_fuse_mounted(mount_point_); });
  }
  ~ServingProcess() { kill9(); }
  ServingProcess(const ServingProcess&) = delete;
  ServingProcess& operator=(const ServingProcess&) = delete;

  // Returns when all is the overlay's.
  void stop() {
    const auto unmounted = unmount_fuse(mount_point_, false);
    if (!unmounted) throw TestFailure(unmounted.error().describe());
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  void kill9() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    EXPECT_TRUE(unmount_fuse(mount_point_, true).has_value());
  }

 private:
  [[noreturn]] static void serve(const std::filesystem::path& folder, BaseFiles& base,
                                 const FuseMountOptions& options) {
    const auto overlay = Overlay::open(folder, base);
    if (!overlay) ::_exit(1);
    const auto mount = FuseMount::mount(**overlay, options);
    if (mount) static_cast<void>((*mount)->serve());
    static_cast<void>((*overlay)->sync_all());
    ::_exit(0);
  }

  std::filesystem::path mount_point_;
  pid_t pid_;
};

// A mount that goes and comes back.
class MountedOverlay {
 public:
  MountedOverlay(BaseFiles& base, const Owner& user) : base_(base), user_(user) { mount(); }

  [[nodiscard]] const std::filesystem::path& path() const { return mount_point_; }
  void remount() {
    process_->stop();
    mount();
  }

 private:
  void mount() { process_ = std::make_unique<ServingProcess>(overlay_, mount_point_, base_, user_); }

  TemporaryDirectory folder_;
  std::filesystem::path overlay_ = folder_.make("overlay");
  std::filesystem::path mount_point_ = folder_.make("mount");
  BaseFiles& base_;
  const Owner user_;
  std::unique_ptr<ServingProcess> process_;
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
    if (sanitized) {
      GTEST_SKIP() << "SKIPPED: it is served by a child that goes on after fork, which the sanitizers do not "
                      "follow; the overlay's own tests run under them";
    }
    if (const auto possible = check_fuse(); !possible)
      GTEST_SKIP() << "SKIPPED: " << possible.error().describe();
  }
};

TEST_F(FuseMountTest, DoesAsAnyFileSystemDoes) {
  const std::uint64_t first_seed = testing::test_seed(20261130);
  std::map<std::string, int> successes;
  for (std::uint64_t seed = first_seed; seed < first_seed + (testing::thorough() ? 4 : 2); ++seed) {
    MemoryBaseFiles base;
    add_varied_tree(base, seed);
    const TemporaryDirectory model;
    testing::make_varied_tree(model.path(), seed);
    MountedOverlay mounted(base, this_user());
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
  MountedOverlay mounted(base, {server_user().uid, server_user().gid});
  const auto verdict = testing::run_fio_verify(mounted.path(), [&] { mounted.remount(); });
  EXPECT_TRUE(verdict.passed) << verdict.output;
}

// Files whose blocks are numbers that only grow: what each has at least, as it was synced, and at most.
class StampedFiles {
 public:
  static constexpr std::size_t blocks = 40;
  static std::string block_of(std::uint64_t stamp) {
    const auto text = fmt::format("{:15} ", stamp);
    std::string content;
    while (content.size() < overlay_block_bytes) content += text;
    return content;
  }
  static std::string name_of(std::size_t file) { return fmt::format("folder/file{}", file); }

  StampedFiles(std::filesystem::path root, std::uint64_t seed) : root_(std::move(root)), random_(seed) {}

  void write_for(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
      const auto file = random_() % files_.size();
      const auto descriptor = open_file(root_ / name_of(file), O_RDWR | O_CREAT);
      if (!descriptor) throw TestFailure(descriptor.error().describe());
      for (int write = 0; write < 5; ++write) {
        const auto block = random_() % blocks;
        const auto done =
            write_all_at(*descriptor, block * overlay_block_bytes, as_byte_view(block_of(++stamp_)));
        if (!done) throw TestFailure(done.error().describe());
        files_[file].newest[block] = stamp_;
      }
      if (random_() % 2 == 0 && sync_file(*descriptor)) files_[file].synced = files_[file].newest;
    }
  }
  void check() {
    for (std::size_t file = 0; file < files_.size(); ++file) {
      const auto content = read_file(root_ / name_of(file));
      for (std::size_t block = 0; block < blocks; ++block) check_block(file, block, *content);
      files_[file].synced = files_[file].newest;
    }
  }

 private:
  struct Stamps {
    std::array<std::uint64_t, blocks> synced{};
    std::array<std::uint64_t, blocks> newest{};
  };

  void check_block(std::size_t file, std::size_t block, const Bytes& content) {
    const auto part = as_text(content).substr(block * overlay_block_bytes, overlay_block_bytes);
    const auto stamp = std::strtoull(std::string(part).c_str(), nullptr, 10);
    ASSERT_EQ(part, block_of(stamp)) << name_of(file) << ", block " << block;
    EXPECT_GE(stamp, files_[file].synced[block]) << name_of(file) << ", block " << block;
    EXPECT_LE(stamp, files_[file].newest[block]) << name_of(file) << ", block " << block;
    files_[file].newest[block] = stamp;  // that is what goes on from here
  }

  std::filesystem::path root_;
  std::mt19937_64 random_;
  std::uint64_t stamp_ = 0;
  std::array<Stamps, 6> files_;
};

TEST_F(FuseMountTest, LosesNothingThatWasSyncedByAKill) {
  MemoryBaseFiles base;
  for (std::size_t file = 0; file < 6; ++file) {
    std::string content;
    for (std::size_t block = 0; block < StampedFiles::blocks; ++block) content += StampedFiles::block_of(0);
    base.add_file(StampedFiles::name_of(file), content);
  }
  const TemporaryDirectory folder;
  const auto overlay = folder.make("overlay");
  const auto mount_point = folder.make("mount");
  StampedFiles files(mount_point, testing::test_seed(20261130));
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    ServingProcess process(overlay, mount_point, base, this_user());
    ASSERT_NO_FATAL_FAILURE(files.check());
    files.write_for(std::chrono::milliseconds(100 + 37 * round));
    process.kill9();
  }
  const ServingProcess process(overlay, mount_point, base, this_user());
  files.check();
}

TEST_F(FuseMountTest, NobodyChangesAFixedRoot) {
  MemoryBaseFiles base;
  base.add_folder("data");
  base.add_file("data/file", "x");
  base.add_file("other", "y");
  const TemporaryDirectory folder;
  const auto mount_point = folder.make("mount");
  const ServingProcess process(folder.make("overlay"), mount_point, base,
                               {server_user().uid, server_user().gid}, {root_node});
  const auto data = mount_point / "data";
  EXPECT_EQ(rename_file(data, mount_point / "real").error().error_number(), EPERM);
  EXPECT_EQ(rename_file(data / "file", mount_point / "file").error().error_number(), EPERM);
  EXPECT_EQ(rename_file(mount_point / "other", data / "other").error().error_number(), EPERM);
  EXPECT_EQ(remove_file(mount_point / "other").error().error_number(), EPERM);
  EXPECT_EQ(write_file(mount_point / "new", {}).error().error_number(), EPERM);
  EXPECT_EQ(::symlink("data", (mount_point / "link").c_str()), -1);
  EXPECT_EQ(::link((data / "file").c_str(), (mount_point / "link").c_str()), -1);
  EXPECT_EQ(::mkdir((mount_point / "new").c_str(), 0700), -1);
  EXPECT_EQ(::rmdir(data.c_str()), -1);
  EXPECT_TRUE(rename_file(data / "file", data / "file2"));
  struct stat root {};
  ASSERT_EQ(::stat(mount_point.c_str(), &root), 0);
  EXPECT_EQ(root.st_uid, ::geteuid());
}

TEST_F(FuseMountTest, TellsTheCallerOfWhatTheBaseLost) {
  MemoryBaseFiles base;
  base.add_file("file", std::string(10'000, 'x'));
  base.fail_all();
  const MountedOverlay mounted(base, this_user());
  EXPECT_EQ(stat_file(mounted.path() / "file").error().error_number(), EIO);
  EXPECT_EQ(list_directory(mounted.path()).error().error_number(), EIO);
}

}  // namespace
}  // namespace pgstrata
