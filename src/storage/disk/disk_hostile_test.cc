// A repository's folder into which somebody else has put things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/disk/disk_store.h"
#include "sys/file_access.h"
#include "sys/process.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class DiskHostileTest : public ::testing::Test {
 protected:
  // A folder beside the repository with a file of each age and name that could be taken for a temporary.
  std::filesystem::path make_victim() {
    auto child = ChildProcess::spawn({.arguments = {"true"}}).value();
    dead_ = "1." + to_string(ProcessIdentity::of(child.pid()).value());
    EXPECT_TRUE(child.wait());
    const std::filesystem::path victim = directory_.path() / "victim";
    EXPECT_TRUE(make_directories(victim));
    for (const std::string& name : {std::string("old"), std::string("12.old"), dead_}) {
      EXPECT_TRUE(write_file(victim / name, as_byte_view("precious")));
      const timespec times[2] = {{.tv_sec = 1'000'000, .tv_nsec = 0}, {.tv_sec = 1'000'000, .tv_nsec = 0}};
      EXPECT_EQ(::utimensat(AT_FDCWD, (victim / name).c_str(), times, 0), 0);
    }
    return victim;
  }
  // One of each kind that can stand in an object's place, in folder "a" of the repository.
  std::vector<std::string> make_strange_objects() {
    EXPECT_TRUE(store_->put("a/good", as_byte_view("x")));
    EXPECT_TRUE(write_file(directory_.path() / "outside", as_byte_view("secret")));
    const auto at = [&](const std::string& name) { return path_ / "a" / name; };
    EXPECT_EQ(::symlink("../../outside", at("link").c_str()), 0);
    EXPECT_EQ(::symlink("nowhere", at("dangling").c_str()), 0);
    EXPECT_EQ(::symlink("..", at("folder-link").c_str()), 0);
    EXPECT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
    const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    const std::string path = at("socket");
    EXPECT_LT(path.size(), sizeof address.sun_path);
    std::ranges::copy(path, address.sun_path);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    std::vector<std::string> names = {"a/dangling", "a/fifo", "a/folder-link", "a/link", "a/socket"};
    // A device: only root may make one.
    if (::mknod(at("null").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) names.emplace_back("a/null");
    return names;
  }
  static std::size_t entries(const std::filesystem::path& folder) { return list_directory(folder)->size(); }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-hostile-").value();
  std::filesystem::path path_ = directory_.path() / "store";
  std::unique_ptr<DiskStore> store_ = DiskStore::open_or_make(path_).value();
  std::string dead_;  // the name of a dead process's temporary
};

TEST_F(DiskHostileTest, ALinkForTemporariesIsNeitherClearedNorWrittenThrough) {
  const std::filesystem::path victim = make_victim();
  ASSERT_TRUE(store_->put("a", as_byte_view("x")));
  ASSERT_TRUE(remove_tree(path_ / ".tmp"));
  ASSERT_EQ(::symlink(victim.c_str(), (path_ / ".tmp").c_str()), 0);

  const auto store = DiskStore::open(path_);
  ASSERT_TRUE(store);
  EXPECT_EQ(entries(victim), 3U);
  EXPECT_EQ(as_text((*store)->get("a").value()), "x") << "readers need no temporaries";
  const auto expect_refused = [&](const Result<void>& done) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::failed);
    EXPECT_THAT(done.error().message(), AllOf(HasSubstr("/.tmp"), HasSubstr("a symbolic link")));
    EXPECT_THAT(done.error().hint(), HasSubstr("remove it"));
  };
  expect_refused((*store)->put("b", {}));
  EXPECT_FALSE((*store)->create("b"));
  EXPECT_FALSE((*store)->create_journal("b"));
  EXPECT_FALSE((*store)->replace("b", std::nullopt, {}));
  EXPECT_EQ(entries(victim), 3U);

  ASSERT_TRUE(remove_tree(victim));
  expect_refused((*store)->put("b", {}));  // a link that leads nowhere
  EXPECT_FALSE(file_exists(victim).value());
}

TEST_F(DiskHostileTest, OnlyFilesOfTheNamesItGivesAreClearedAway) {
  ASSERT_TRUE(remove_tree(path_ / ".tmp"));
  ASSERT_TRUE(rename_file(make_victim(), path_ / ".tmp"));
  const auto in_tmp = [&](const std::string& name) { return path_ / ".tmp" / name; };
  const std::string identity = dead_.substr(2);
  for (const std::string& name : {"x." + identity, "." + identity, "1.0" + identity, identity}) {
    ASSERT_TRUE(write_file(in_tmp(name), {}));
  }
  ASSERT_EQ(::symlink("old", in_tmp("2." + identity).c_str()), 0);
  ASSERT_TRUE(make_directories(in_tmp("3." + identity)));
  ASSERT_EQ(entries(path_ / ".tmp"), 9U);
  ASSERT_TRUE(DiskStore::open(path_));
  EXPECT_EQ(entries(path_ / ".tmp"), 8U);
  EXPECT_FALSE(file_exists(in_tmp(dead_)).value());
}

TEST_F(DiskHostileTest, WhatIsNoRegularFileIsADamagedObject) {
  for (const std::string& name : make_strange_objects()) {
    Bytes one(1);
    const auto expect_damaged = [&](const auto& done) {
      ASSERT_FALSE(done) << name;
      EXPECT_EQ(done.error().code(), ErrorCode::damaged) << name;
      EXPECT_THAT(done.error().message(), AllOf(HasSubstr(name), HasSubstr("is no regular file")));
    };
    expect_damaged(store_->get(name));
    expect_damaged(store_->read(name, 0, one));
    expect_damaged(store_->stat(name));
    expect_damaged(store_->get_versioned(name));
    expect_damaged(store_->replace(name, std::nullopt, {}));
    EXPECT_EQ(store_->put(name, {}).error().code(), ErrorCode::already_exists) << name;
    EXPECT_EQ(store_->create_journal(name).error().code(), ErrorCode::already_exists) << name;
  }
  EXPECT_EQ(as_text(read_file(directory_.path() / "outside").value()), "secret");
}

TEST_F(DiskHostileTest, ListNamesWhatIsNoRegularFileAndGoesOn) {
  const std::vector<std::string> strange = make_strange_objects();
  const auto listed = store_->list_all("a/");
  ASSERT_TRUE(listed) << listed.error().describe();
  std::vector<std::string> empty;
  for (const ObjectInfo& object : *listed) {
    if (object.name == "a/good") continue;
    EXPECT_EQ(object.size_bytes, 0U) << object.name;
    empty.push_back(object.name);
  }
  EXPECT_THAT(empty, ::testing::UnorderedElementsAreArray(strange)) << "a link to a folder is not entered";
  EXPECT_EQ(listed->size(), strange.size() + 1);
  for (const std::string& name : strange) EXPECT_TRUE(store_->remove(name)) << name;
  EXPECT_EQ(store_->list_all("")->size(), 1U);
  EXPECT_TRUE(file_exists(directory_.path() / "outside").value());
}

TEST_F(DiskHostileTest, WhatIsBelowAFolderThatIsNoneIsMissing) {
  std::filesystem::create_directory(path_ / "a");
  ASSERT_EQ(::symlink("loop", (path_ / "a/loop").c_str()), 0);
  ASSERT_EQ(::mkfifo((path_ / "a/fifo").c_str(), 0600), 0);
  EXPECT_EQ(store_->stat("a/loop/key").error().code(), ErrorCode::not_found);
  EXPECT_EQ(store_->stat("a/fifo/key").error().code(), ErrorCode::not_found);
}

// What a read of /proc/self/mem at 0 says is what a bad sector says: no page can be had. In a process with
// mounts of its own, whose exit code tells.
TEST_F(DiskHostileTest, AnObjectThatTheDiskCannotReadIsDamaged) {
  ASSERT_TRUE(store_->put("a", as_byte_view("x")));
  constexpr int no_mounts = 77;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         ::mount("/proc/self/mem", (path_ / "a").c_str(), nullptr, MS_BIND, nullptr) == 0;
    if (!mounted) ::_exit(no_mounts);
    Bytes one(1);
    const auto done = store_->read("a", 0, one);
    if (done || done.error().code() != ErrorCode::damaged) ::_exit(1);
    if (!done.error().message().starts_with("object \"a\" cannot be read: ")) ::_exit(2);
    if (!done.error().message().ends_with("Input/output error")) ::_exit(3);
    if (is_lasting_damage(done.error())) ::_exit(4);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == no_mounts) GTEST_SKIP() << "mounting is not allowed";
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

// Of a closed folder no object is to blame. As somebody who is not root, who reads everything.
TEST_F(DiskHostileTest, AnObjectThatMayNotBeReadIsDamagedAndNotForGood) {
  ASSERT_TRUE(store_->put("a", as_byte_view("x")));
  ASSERT_TRUE(store_->put("closed/b", as_byte_view("x")));
  ASSERT_EQ(::chmod((path_ / "a").c_str(), 0), 0);
  ASSERT_EQ(::chmod((path_ / "closed").c_str(), 0), 0);
  if (::geteuid() == 0) {
    std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
    std::filesystem::permissions(path_, std::filesystem::perms::all);
  }
  const auto look = [&]() -> Result<void> {
    const auto object = store_->get("a");
    EXPECT_FALSE(object);
    if (object) return {};
    EXPECT_EQ(object.error().code(), ErrorCode::damaged);
    EXPECT_THAT(object.error().message(), AllOf(HasSubstr("\"a\""), HasSubstr("Permission denied")));
    EXPECT_FALSE(is_lasting_damage(object.error()));
    const auto closed = store_->get("closed/b");
    EXPECT_FALSE(closed);
    EXPECT_TRUE(closed || closed.error().code() == ErrorCode::permission);
    return {};
  };
  EXPECT_TRUE(::geteuid() == 0 ? with_file_access_of("nobody", look) : look());
  ASSERT_EQ(::chmod((path_ / "closed").c_str(), 0700), 0);
}

TEST_F(DiskHostileTest, AJournalThatWasRemovedOrCutIsGivenUp) {
  const Bytes piece(400'000, std::byte{'x'});
  // At the next sync, also when appending has gone beyond what was cut off.
  for (const std::size_t pieces : {1U, 2U, 3U, 7U}) {
    for (const off_t cut_to : {-1, 0, 100'000, 500'000}) {
      const std::string name = fmt::format("j{}.{}", pieces, cut_to);
      const auto journal = store_->create_journal(name).value();
      ASSERT_TRUE(journal->append(piece));
      ASSERT_TRUE(journal->sync());
      const std::filesystem::path file = path_ / name;
      ASSERT_EQ(cut_to < 0 ? ::unlink(file.c_str()) : ::truncate(file.c_str(), cut_to), 0);
      for (std::size_t i = 0; i < pieces; ++i) (void)journal->append(piece).has_value();
      const auto synced = journal->sync();
      ASSERT_FALSE(synced) << name;
      EXPECT_EQ(synced.error().code(), ErrorCode::failed);
      EXPECT_THAT(synced.error().message(),
                  AllOf(HasSubstr(name), HasSubstr(cut_to < 0 ? "removed" : "cut")));
      EXPECT_FALSE(journal->append(piece));
      EXPECT_FALSE(journal->sync());
    }
  }
}

TEST_F(DiskHostileTest, AJournalThatWasMovedAwayIsGivenUp) {
  const auto journal = store_->create_journal("wal/1/j").value();
  ASSERT_TRUE(journal->append(as_byte_view("x")));
  ASSERT_TRUE(journal->sync());
  std::filesystem::rename(path_ / "wal", path_ / "elsewhere");
  Result<void> synced;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (synced && std::chrono::steady_clock::now() < limit) synced = journal->sync();
  ASSERT_FALSE(synced) << "it would go on for ever where nobody reads";
  EXPECT_EQ(synced.error().code(), ErrorCode::failed);
  EXPECT_THAT(synced.error().message(), AllOf(HasSubstr("wal/1/j"), HasSubstr("moved away")));
  EXPECT_FALSE(journal->append(as_byte_view("y")));
}

// Listings do not follow it, so what is put there would not be found.
TEST_F(DiskHostileTest, NothingIsWrittenThroughALinkToAFolder) {
  std::filesystem::create_directory(directory_.path() / "other-disk");
  std::filesystem::create_directory(path_ / "wal");
  std::filesystem::create_directory_symlink(directory_.path() / "other-disk", path_ / "wal" / "1");
  const auto put = store_->put("wal/1/a", as_byte_view("x"));
  ASSERT_FALSE(put);
  EXPECT_THAT(put.error().hint(), HasSubstr("no links"));
  EXPECT_FALSE(store_->create_journal("wal/1/j"));
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path() / "other-disk"));
}

TEST_F(DiskHostileTest, ALinkForTheLockIsNotFollowed) {
  const std::filesystem::path outside = directory_.path() / "outside";
  ASSERT_EQ(::symlink(outside.c_str(), (path_ / ".lock").c_str()), 0);
  const auto done = store_->replace("a", std::nullopt, {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::failed);
  EXPECT_THAT(done.error().message(), HasSubstr("/.lock"));
  EXPECT_FALSE(file_exists(outside).value());
}

}  // namespace
}  // namespace pgstrata
