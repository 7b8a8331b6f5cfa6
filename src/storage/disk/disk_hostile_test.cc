// A repository's folder into which somebody else has put things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "storage/disk/disk_store.h"
#include "sys/process.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DiskHostileTest : public testing::Test {
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

}  // namespace
}  // namespace pgstrata
