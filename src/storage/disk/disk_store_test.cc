#include "storage/disk/disk_store.h"

#include <csignal>

#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/conformance.h"
#include "storage/disk/network_file_system.h"
#include "sys/process.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

class DiskHarness {
 public:
  ObjectStore& store() { return *store_; }
  ObjectStore& other() { return *other_; }

 private:
  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-disk-").value();
  std::unique_ptr<DiskStore> store_ = DiskStore::open_or_make(directory_.path() / "store").value();
  std::unique_ptr<DiskStore> other_ = DiskStore::open(directory_.path() / "store").value();
};

INSTANTIATE_TYPED_TEST_SUITE_P(Disk, ObjectStoreConformance, DiskHarness);

class DiskStoreTest : public ::testing::Test {
 protected:
  std::size_t temporaries() const {
    const auto entries = list_directory(path_ / ".tmp");
    return entries ? entries->size() : 0;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-disk-").value();
  std::filesystem::path path_ = directory_.path() / "store";
  std::unique_ptr<DiskStore> store_ = DiskStore::open_or_make(path_).value();
};

TEST_F(DiskStoreTest, OpenNeverMakesTheFolder) {
  const auto missing = DiskStore::open(directory_.path() / "missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().hint(), HasSubstr("mounted"));
  EXPECT_THAT(missing.error().hint(), HasSubstr((directory_.path() / "missing").native()));
  EXPECT_FALSE(file_exists(directory_.path() / "missing").value());
  ASSERT_TRUE(write_file(directory_.path() / "file", {}));
  EXPECT_FALSE(DiskStore::open(directory_.path() / "file"));
  EXPECT_TRUE(list_directory(path_).value().empty()) << "nor anything in it before it is asked to";
}

TEST_F(DiskStoreTest, OpenOrMakeTakesAFolderThatIsThere) {
  ASSERT_TRUE(store_->put("a/b", as_byte_view("x")));
  const auto again = DiskStore::open_or_make(path_);
  ASSERT_TRUE(again);
  EXPECT_EQ(as_text((*again)->get("a/b").value()), "x");
  EXPECT_EQ((*again)->describe(), path_.native());
}

TEST(NetworkFileSystemTest, IsToldByItsType) {
  for (const std::uint32_t type : {NFS_SUPER_MAGIC, static_cast<int>(CIFS_SUPER_MAGIC), FUSE_SUPER_MAGIC,
                                   CEPH_SUPER_MAGIC, V9FS_MAGIC, AFS_SUPER_MAGIC}) {
    EXPECT_TRUE(is_network_file_system(type)) << type;
  }
  for (const std::uint32_t type : {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, static_cast<int>(BTRFS_SUPER_MAGIC),
                                   TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC, 0x2FC12FC1 /* ZFS */, 0}) {
    EXPECT_FALSE(is_network_file_system(type)) << type;
  }
  EXPECT_FALSE(is_on_network_file_system("/proc"));
  EXPECT_FALSE(is_on_network_file_system("/no/such/folder"));
}

TEST_F(DiskStoreTest, OneFolderHasManyNames) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::create_directory(path_ / "a");
  std::filesystem::current_path(path_ / "a");
  int number = 0;
  for (const std::string& name :
       {path_.native() + "/", path_.native() + "//", path_.native() + "/a/..", path_.native() + "/.",
        std::string(".."), std::string("../"), std::string("./.."), std::string("./../")}) {
    const auto store = DiskStore::open_or_make(name);
    ASSERT_TRUE(store) << name;
    EXPECT_EQ((*store)->describe(), path_.native()) << name;
    const std::string object = fmt::format("b/{}/c", ++number);
    EXPECT_TRUE((*store)->put(object, as_byte_view("x"))) << name;
    EXPECT_TRUE(store_->stat(object)) << name;
  }
  std::filesystem::current_path(path_);
  const auto here = DiskStore::open(".").value();
  std::filesystem::current_path(before);
  EXPECT_TRUE(here->put("here/d", as_byte_view("x")));
  EXPECT_TRUE(store_->stat("here/d"));
  EXPECT_EQ(DiskStore::open("/").value()->describe(), "/");
}

// A file with a hole costs nothing to make, and must not cost memory to meet.
TEST_F(DiskStoreTest, AHugeFileIsRefusedBeforeAnythingIsAllocated) {
  ASSERT_TRUE(store_->put("a", {}));
  ASSERT_EQ(::truncate((path_ / "a").c_str(), off_t{1} << 40), 0);
  EXPECT_EQ(store_->get("a").error().code(), ErrorCode::damaged);
  EXPECT_EQ(store_->get_versioned("a").error().code(), ErrorCode::damaged);
  EXPECT_EQ(store_->replace("a", "version", {}).error().code(), ErrorCode::damaged);
}

// A process that was stopped, or whose machine was, must not take those along that wait for it.
TEST_F(DiskStoreTest, DoesNotWaitForTheLockForEver) {
  struct Hurried : Clock {
    Timestamp now() const override { return system_clock().now(); }
    SteadyTime steady() const override { return SteadyTime(std::chrono::seconds(++asked)); }
    mutable std::atomic<int> asked{0};
  } hurried;
  const auto store = DiskStore::open(path_, hurried).value();
  ASSERT_TRUE(store->put("a", {}));
  {
    const auto held = LockFile::acquire(path_ / ".lock").value();
    EXPECT_EQ(store->replace("b", std::nullopt, {}).error().code(), ErrorCode::unavailable);
    EXPECT_EQ(store->remove("a").error().code(), ErrorCode::unavailable);
    EXPECT_EQ(temporaries(), 0U);
  }
  EXPECT_TRUE(store->replace("b", std::nullopt, {}));
  EXPECT_TRUE(store->remove("a"));
}

TEST_F(DiskStoreTest, NobodyElseMayRead) {
  const mode_t before = ::umask(0);
  ASSERT_TRUE(store_->put("a/b", as_byte_view("x")));
  ASSERT_TRUE(store_->replace("lease", std::nullopt, as_byte_view("x")));
  ASSERT_TRUE(store_->create_journal("journal"));
  ::umask(before);
  for (const char* const file : {"a/b", "lease", "journal", ".lock"}) {
    EXPECT_EQ(stat_file(path_ / file).value().permissions, 0600U) << file;
  }
  for (const char* const folder : {"", "a", ".tmp"}) {
    EXPECT_EQ(stat_file(path_ / folder).value().permissions, 0700U) << folder;
  }
}

TEST_F(DiskStoreTest, ObjectsAreFilesOfTheSameName) {
  ASSERT_TRUE(store_->put("a/b/c", as_byte_view("content")));
  EXPECT_EQ(as_text(read_file(path_ / "a/b/c").value()), "content");
  EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DiskStoreTest, FailuresAndDroppedWritersLeaveNoTemporaries) {
  ASSERT_TRUE(store_->put("a", as_byte_view("x")));
  EXPECT_FALSE(store_->put("a", as_byte_view("y")));
  EXPECT_FALSE(store_->create_journal("a"));
  EXPECT_EQ(store_->put("a/b", as_byte_view("y")).error().code(), ErrorCode::failed) << "a file is no folder";
  {
    const auto writer = store_->create("b").value();
    ASSERT_TRUE(writer->write(as_byte_view("x")));
    EXPECT_EQ(temporaries(), 1U);
  }
  EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DiskStoreTest, ListPassesOverWhatIsNotItsOwn) {
  ASSERT_TRUE(store_->put("a/b", as_byte_view("x")));
  ASSERT_TRUE(store_->replace("lease", std::nullopt, as_byte_view("x")));
  ASSERT_TRUE(make_directories(path_ / "lost+found"));
  ASSERT_TRUE(write_file(path_ / "lost+found/x", {}));
  ASSERT_TRUE(write_file(path_ / ".hidden", {}));
  ASSERT_TRUE(write_file(path_ / "a/b~", {}));
  const auto all = store_->list_all("").value();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "a/b");
  EXPECT_EQ(all[1].name, "lease");
}

TEST_F(DiskStoreTest, ADiskThatWentAwayIsUnavailableNotEmpty) {
  ASSERT_TRUE(store_->put("a/b", as_byte_view("x")));
  ASSERT_TRUE(rename_file(path_, directory_.path() / "elsewhere"));
  const auto expect_unavailable = [&] {
    EXPECT_EQ(store_->list_all("").error().code(), ErrorCode::unavailable);
    EXPECT_EQ(store_->get("a/b").error().code(), ErrorCode::unavailable);
    EXPECT_EQ(store_->stat("a/b").error().code(), ErrorCode::unavailable);
    EXPECT_EQ(store_->put("a/c", {}).error().code(), ErrorCode::unavailable);
    EXPECT_EQ(store_->replace("lease", std::nullopt, {}).error().code(), ErrorCode::unavailable);
    EXPECT_EQ(store_->remove("a/b").error().code(), ErrorCode::unavailable);
  };
  expect_unavailable();
  EXPECT_FALSE(file_exists(path_).value());
  ASSERT_TRUE(make_directories(path_));  // the empty place where it was mounted
  expect_unavailable();
  EXPECT_THAT(store_->get("a/b").error().hint(), HasSubstr("mounted"));
  EXPECT_TRUE(list_directory(path_).value().empty());
}

// Its device may have another number then, and with it the folder another identity.
TEST_F(DiskStoreTest, ADiskThatIsMountedAnewIsKnownByTheFilesRightInIt) {
  ASSERT_TRUE(store_->put("descriptor", as_byte_view("of this repository")));
  const auto store = DiskStore::open(path_).value();
  ASSERT_TRUE(store->put("a/b", as_byte_view("x")));
  const auto elsewhere = directory_.path() / "elsewhere";
  ASSERT_TRUE(rename_file(path_, elsewhere));
  EXPECT_EQ(store->get("a/b").error().code(), ErrorCode::unavailable);
  std::filesystem::copy(elsewhere, path_, std::filesystem::copy_options::recursive);
  EXPECT_EQ(as_text(store->get("a/b").value()), "x");
  EXPECT_TRUE(store->put("a/c", {}));
  EXPECT_TRUE(store->replace("lease", std::nullopt, {}));
  // Not removed: the new folder might get its number.
  ASSERT_TRUE(rename_file(path_, directory_.path() / "first copy"));
  std::filesystem::copy(elsewhere, path_, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(write_file(path_ / "descriptor", as_byte_view("of another repository")));
  EXPECT_EQ(store->list_all("").error().code(), ErrorCode::unavailable);
  EXPECT_EQ(store->put("a/d", {}).error().code(), ErrorCode::unavailable);
}

TEST_F(DiskStoreTest, AFolderRemovedByHandIsMadeAgain) {
  ASSERT_TRUE(store_->put("a/b/c", as_byte_view("x")));
  ASSERT_TRUE(remove_tree(path_ / "a"));
  ASSERT_TRUE(store_->put("a/b/c", as_byte_view("y")));
  EXPECT_EQ(as_text(store_->get("a/b/c").value()), "y");
}

TEST_F(DiskStoreTest, ATemporaryThatSomebodyRemovedIsNoMissingObject) {
  auto writer = store_->create("a/b").value();
  ASSERT_TRUE(writer->write(as_byte_view("x")));
  for (const auto& entry : std::filesystem::directory_iterator(path_ / ".tmp")) {
    ASSERT_TRUE(std::filesystem::remove(entry.path()));
  }
  const auto committed = writer->commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code(), ErrorCode::unavailable) << committed.error().describe();
  EXPECT_NE(committed.error().describe().find(".tmp"), std::string::npos);
}

TEST_F(DiskStoreTest, ClearsAwayTemporariesOfTheDeadAndTheLongSilent) {
  auto child = ChildProcess::spawn({.arguments = {"true"}}).value();
  const auto dead = ProcessIdentity::of(child.pid());
  ASSERT_TRUE(dead) << "not reaped yet";
  ASSERT_TRUE(child.wait());
  auto elsewhere = ProcessIdentity::self().value();
  elsewhere.host_name = "elsewhere";
  const auto add = [&](const std::string& name) { ASSERT_TRUE(write_file(path_ / ".tmp" / name, {})); };
  const auto writer = store_->create("mine").value();
  add("1." + to_string(*dead));
  add("2." + to_string(elsewhere));
  add("unknown");
  ASSERT_EQ(temporaries(), 4U);

  ASSERT_TRUE(DiskStore::open(path_));
  EXPECT_EQ(temporaries(), 3U);
  EXPECT_FALSE(file_exists(path_ / ".tmp" / ("1." + to_string(*dead))).value());

  struct Later : Clock {
    Timestamp now() const override { return system_clock().now() + std::chrono::hours(hours); }
    SteadyTime steady() const override { return system_clock().steady(); }
    int hours = 25;
  } later;
  ASSERT_TRUE(DiskStore::open(path_, later));
  EXPECT_EQ(temporaries(), 3U) << "an idle database fills no segment for days";
  later.hours = 24 * 61;
  ASSERT_TRUE(DiskStore::open(path_, later));
  EXPECT_EQ(temporaries(), 2U) << "that of a living process stays, whatever its age";
  EXPECT_TRUE(file_exists(path_ / ".tmp/unknown").value()) << "whoever made it";
  EXPECT_TRUE(writer->commit());
}

// As if the disk were full: no file may grow beyond a limit. In a process of its own, whose exit code tells.
TEST_F(DiskStoreTest, AFailedWriteEndsTheWriterAndTheJournal) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 1'500'000, .rlim_max = 1'500'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Bytes piece(1'000'000, std::byte{'x'});
    const auto writer = store_->create("object").value();
    if (!writer->write(piece)) ::_exit(1);
    if (writer->write(piece)) ::_exit(2);
    if (writer->write({}) || writer->commit()) ::_exit(3);
    const auto journal = store_->create_journal("journal").value();
    if (!journal->append(piece) || !journal->sync()) ::_exit(4);
    if (journal->append(piece)) ::_exit(5);
    if (journal->append({}) || journal->sync()) ::_exit(6);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
  EXPECT_EQ(store_->get("object").error().code(), ErrorCode::not_found);
  EXPECT_EQ(temporaries(), 0U);
  Bytes synced(1'000'000);
  EXPECT_TRUE(store_->read("journal", 0, synced)) << "what was synced before the failure";
}

TEST_F(DiskStoreTest, SaysWhatIsFreeWhenTheDiskIsFull) {
  const DiskRoot root = DiskRoot::open(path_).value();
  const Error error = root.explain(make_error(ErrorCode::no_space, "could not write"), "a");
  EXPECT_EQ(error.code(), ErrorCode::no_space);
  EXPECT_THAT(error.hint(), HasSubstr("bytes free"));
  EXPECT_THAT(error.hint(), HasSubstr(path_.native()));
}

TEST_F(DiskStoreTest, WhatRootMakesBelongsToTheFoldersOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  constexpr uid_t nobody = 65534;
  ASSERT_EQ(::chown(path_.c_str(), nobody, nobody), 0);
  const auto store = DiskStore::open(path_).value();
  ASSERT_TRUE(store->put("a/b/object", as_byte_view("x")));
  ASSERT_TRUE(store->replace("replaceable", std::nullopt, as_byte_view("x")));
  const auto journal = store->create_journal("j/journal").value();
  ASSERT_TRUE(journal->append(as_byte_view("x")));
  ASSERT_TRUE(journal->sync());
  for (const auto* name : {"a", "a/b", "a/b/object", "replaceable", "j", "j/journal", ".tmp", ".lock"}) {
    EXPECT_EQ(stat_file(path_ / name).value().owner, nobody) << name;
  }
}

// As over NFS, where the server makes root nobody.
TEST_F(DiskStoreTest, WhatRootMayNotGiveAwayItKeeps) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chown(path_.c_str(), 65534, 65534), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[2] = {};
    bool done = ::syscall(SYS_capget, &header, data) == 0;
    data[0].effective &= ~(1U << CAP_CHOWN);
    done = done && ::syscall(SYS_capset, &header, data) == 0;
    const auto store = DiskStore::open(path_);
    _exit(done && store && (*store)->put("a/object", as_byte_view("x")) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(stat_file(path_ / "a/object").value().owner, 0U);
}

TEST_F(DiskStoreTest, NobodysLinksLeadRootElsewhere) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  constexpr uid_t nobody = 65534;
  const auto elsewhere = directory_.path() / "elsewhere";
  ASSERT_TRUE(make_directories(elsewhere / "b"));
  ASSERT_EQ(::symlink(elsewhere.c_str(), (path_ / "a").c_str()), 0);
  ASSERT_EQ(::chown(path_.c_str(), nobody, nobody), 0);
  const auto store = DiskStore::open(path_).value();
  EXPECT_FALSE(store->put("a/b/object", as_byte_view("x")));
  EXPECT_FALSE(store->put("a/c/object", as_byte_view("x")));
  EXPECT_EQ(stat_file(elsewhere / "b").value().owner, 0U);
  EXPECT_FALSE(std::filesystem::exists(elsewhere / "c"));
}

TEST_F(DiskStoreTest, AReadOnlyFolderServesReadsAndRefusesWrites) {
  ASSERT_TRUE(store_->put("a", as_byte_view("x")));
  ASSERT_EQ(::chmod(path_.c_str(), 0500), 0);
  ASSERT_EQ(::chmod((path_ / ".tmp").c_str(), 0500), 0);
  const auto check = [&] {
    const auto store = DiskStore::open(path_);
    if (!store || !(*store)->get("a") || !(*store)->list_all("")) return 1;
    const auto written = (*store)->put("b", {});
    if (written || written.error().code() != ErrorCode::permission) return 2;
    return 0;
  };
  if (::geteuid() != 0) {
    EXPECT_EQ(check(), 0);
  } else {
    // Modes do not bind root: ask as nobody, who must own what it is to read.
    for (const auto& path : {directory_.path(), path_, path_ / ".tmp", path_ / "a"}) {
      ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
    }
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(::setgid(65534) == 0 && ::setuid(65534) == 0 ? check() : 3);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
  }
  ASSERT_EQ(::chmod(path_.c_str(), 0700), 0);
  ASSERT_EQ(::chmod((path_ / ".tmp").c_str(), 0700), 0);
}

}  // namespace
}  // namespace pgstrata
