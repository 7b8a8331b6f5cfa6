// The folder: its bound, what is left in it, and what goes wrong with it.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/near/near_store_test_support.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t small_limit_bytes = 1;  // a block for each of the folders

TEST_F(NearStoreTest, StaysWithinItsBoundWhoeverAdds) {
  constexpr int objects = 700;
  for (int i = 0; i < objects; ++i) put(fmt::format("packs/{}", i), 100, static_cast<unsigned>(i));
  const auto first = another(small_limit_bytes);
  const auto second = another(small_limit_bytes);
  const auto read_all = [&](NearStore& store) {
    for (int i = 0; i < objects; ++i) EXPECT_TRUE(reads_right(store, fmt::format("packs/{}", i), 0, 100));
  };
  std::thread other([&] { read_all(*second); });
  read_all(*first);
  other.join();
  const auto kept = files();
  EXPECT_GT(kept.size(), 200U);
  std::map<std::filesystem::path, int> in_folder;
  for (const auto& file : kept) EXPECT_EQ(++in_folder[file.parent_path()], 1) << file;
  const std::uint64_t larger = 3ULL * 256 * (near_block_bytes + 4096);
  read_all(*another(larger));
  in_folder.clear();
  for (const auto& file : files()) EXPECT_LE(++in_folder[file.parent_path()], 3) << file;
  EXPECT_GT(files().size(), kept.size());
}

// By name, so that they share a folder.
std::vector<std::string> of_one_folder(std::size_t count) {
  std::map<std::byte, std::vector<std::string>> by_folder;
  for (int i = 0;; ++i) {
    auto name = fmt::format("packs/{}", i);
    auto& names = by_folder[near_block_key({.object = name, .version = {}, .number = 0})[0]];
    names.push_back(std::move(name));
    if (names.size() == count) return names;
  }
}

TEST_F(NearStoreTest, WhatWasNotUsedForLongestGoes) {
  const auto names = of_one_folder(4);
  for (const auto& name : names) put(name, 100);
  const auto store = another(3ULL * 256 * (near_block_bytes + 4096));
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(reads_for(*store, names[static_cast<std::size_t>(i)], 0, 100), 1);
    pause();
  }
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 0);
  pause();
  EXPECT_EQ(reads_for(*store, names[3], 0, 100), 1);
  EXPECT_EQ(files().size(), 3U);
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 0);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 0);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 1) << "it was the one";
}

TEST_F(NearStoreTest, WhatAClockThatWasAheadHasLeftGoesFirst) {
  const auto names = of_one_folder(3);
  for (const auto& name : names) put(name, 100);
  const auto store = another(2ULL * 256 * (near_block_bytes + 4096));
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 1);
  const timespec ahead{.tv_sec = ::time(nullptr) + 86'400, .tv_nsec = 0};
  const timespec times[2] = {ahead, ahead};
  ASSERT_EQ(::utimensat(AT_FDCWD, only_file().c_str(), times, 0), 0);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 0);
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 1);
}

TEST_F(NearStoreTest, WhoeverAddsTakesAwayWhatDeadWritersLeft) {
  const auto names = of_one_folder(3);
  for (const auto& name : names) put(name, 100);
  EXPECT_EQ(reads_for(store_, names[0], 0, 100), 1);
  const auto folder = only_file().parent_path();
  const timespec old{.tv_sec = ::time(nullptr) - 3600, .tv_nsec = 0};
  const timespec times[2] = {old, old};
  for (const auto* name : {"new.1.2.3", "README"}) {
    ASSERT_TRUE(write_file(folder / name, {}));
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder / name).c_str(), times, 0), 0);
  }
  ASSERT_TRUE(write_file(folder / "new.1.2.4", {}));
  EXPECT_EQ(reads_for(store_, names[1], 0, 100), 1);
  EXPECT_FALSE(file_exists(folder / "new.1.2.3").value());
  EXPECT_TRUE(file_exists(folder / "new.1.2.4").value()) << "it may be written just now";
  EXPECT_TRUE(file_exists(folder / "README").value()) << "whoever put it there";
}

TEST_F(NearStoreTest, AFolderThatIsRemovedIsMadeAgain) {
  put("packs/a", 1000);
  LogLines log;
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  ASSERT_TRUE(remove_tree(directory_.path() / "state"));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
  EXPECT_THAT(log.warnings, IsEmpty());
}

// A file is in its place: also root can make no folder there.
TEST_F(NearStoreTest, WithoutAFolderTheStoreAnswers) {
  put("packs/a", 1000);
  put("packs/b", 1000);
  ASSERT_TRUE(write_file(directory_.path() / "state", {}));
  LogLines log;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
    EXPECT_EQ(reads_for(store_, "packs/b", 0, 1000), 1);
  }
  ASSERT_EQ(log.warnings.size(), 1U) << "it is said once";
  EXPECT_THAT(log.warnings[0], HasSubstr(folder_.native()));
  ASSERT_TRUE(remove_file(directory_.path() / "state"));
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
}

TEST_F(NearStoreTest, WhereNothingCanBeKeptOnlyWhatIsAskedForIsRead) {
  put("packs/a", 4 * near_block_bytes);
  ASSERT_TRUE(write_file(directory_.path() / "state", {}));
  LogLines log;
  const auto reads_bytes = [&](std::uint64_t offset, std::size_t size) {
    const std::uint64_t before = beneath_.read_bytes;
    EXPECT_EQ(reads_for(store_, "packs/a", offset, size), 1);
    return beneath_.read_bytes - before;
  };
  EXPECT_EQ(reads_bytes(0, 10), near_block_bytes);
  EXPECT_EQ(reads_bytes(0, 10), 10U);
  EXPECT_EQ(reads_bytes(near_block_bytes - 5, 2 * near_block_bytes), 2 * near_block_bytes);
  EXPECT_EQ(reads_bytes(4 * near_block_bytes - 5, 10), 5U);
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_bytes(0, 10), near_block_bytes) << "it is tried again";
  EXPECT_EQ(reads_bytes(0, 10), 10U);
  ASSERT_TRUE(remove_file(directory_.path() / "state"));
  EXPECT_EQ(reads_bytes(0, 10), 10U);
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_bytes(0, 10), near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/a", 10, 10), 0);
}

// A disk of 10 MiB, of which a test may use as much as it likes.
class NearStoreDiskTest : public NearStoreTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_directories(folder_));
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=10m,mode=0700") == 0;
    if (!mounted_) GTEST_SKIP() << "SKIPPED: this user may not mount a tmpfs; run as root";
  }
  void TearDown() override {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  void fill(std::size_t size) { ASSERT_TRUE(write_file(folder_ / "filler", Bytes(size))); }

 private:
  bool mounted_ = false;
};

TEST_F(NearStoreDiskTest, NothingIsAddedWhereLessThanATenthIsFree) {
  put("packs/a", near_block_bytes);
  put("packs/b", near_block_bytes);
  NearStore store(beneath_, options_in(folder_, NearStoreOptions().free_percent_min), clock_);
  LogLines log;
  EXPECT_EQ(reads_for(store, "packs/a", 0, near_block_bytes), 1);
  fill(9U << 20);
  EXPECT_EQ(reads_for(store, "packs/a", 0, near_block_bytes), 0);
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(files().size(), 2U);
  ASSERT_EQ(log.warnings.size(), 1U);
  EXPECT_THAT(log.warnings[0], HasSubstr("less than 10 % of the disk"));
  fill(0);
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 0);
}

// As many inodes as there are: a folder can be made, a file in it cannot.
TEST_F(NearStoreDiskTest, ABlockThatCannotBeWrittenLeavesNothing) {
  put("packs/a", near_block_bytes);
  ASSERT_EQ(::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT, "size=10m,nr_inodes=2"), 0);
  LogLines log;
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 1);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(log.warnings.size(), 1U);
}

// Nobody can remove what something is mounted at.
TEST_F(NearStoreDiskTest, WhatCannotBeRemovedIsNoFailureToKeep) {
  const auto names = of_one_folder(3);
  for (const auto& name : names) put(name, 100);
  const auto store = another(small_limit_bytes);
  LogLines log;
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 1);
  const auto stuck = only_file().parent_path() / std::string(32, '0');
  ASSERT_TRUE(make_directories(stuck));
  ASSERT_EQ(::mount("tmpfs", stuck.c_str(), "tmpfs", 0, "size=1m,mode=0700"), 0);
  const timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 0}, {.tv_sec = 1000, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, stuck.c_str(), times, 0), 0);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 0);
  EXPECT_EQ(files().size(), 1U) << "the others are removed";
  EXPECT_THAT(log.warnings, IsEmpty());
  ::umount2(stuck.c_str(), MNT_DETACH);
}

TEST_F(NearStoreDiskTest, AReadOnlyDiskStillServes) {
  put("packs/a", near_block_bytes);
  put("packs/b", near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 1);
  ASSERT_EQ(::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  LogLines log;
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 0);
  EXPECT_EQ(reads_for(store_, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(log.warnings.size(), 1U);
}

}  // namespace
}  // namespace pgstrata
