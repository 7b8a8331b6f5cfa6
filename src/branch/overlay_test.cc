// Each call of an overlay, over a base in memory.
#include "branch/overlay.h"

#include <fstream>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "branch/memory_base_files.h"
#include "branch/overlay_by_path.h"
#include "support/child_process.h"
#include "support/wait_until.h"
#include "sys/files.h"
#include "sys/synced_paths_for_test.h"

namespace pgstrata {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;
using ::testing::StartsWith;
using testing::TemporaryDirectory;
using testing::wait_until;

constexpr std::size_t block = overlay_block_bytes;

class OverlayTest : public ::testing::Test {
 protected:
  OverlayTest() {
    base_.add_file("base/1/100", std::string(2 * block, 'A') + std::string(block, 'B'));
    base_.add_file("base/1/101", std::string(block + 100, 'C'));
    base_.add_file("top", "of the base");
    base_.add_folder("empty");
    open();
  }
  void open(OverlayOptions options = {}) {
    overlay_.reset();
    auto opened = Overlay::open(folder_.path(), base_, options);
    ASSERT_TRUE(opened.has_value()) << opened.error().describe();
    overlay_ = *std::move(opened);
  }
  // As after the death of a process that had synced everything.
  void reopen() {
    ok(overlay_->sync_all());
    open();
  }
  OverlayByPath at() { return OverlayByPath(*overlay_); }
  static void ok(const Result<void>& done) { EXPECT_TRUE(done.has_value()) << done.error().describe(); }
  template <class T>
  static int errno_of(const Result<T>& done) {
    return done ? 0 : done.error().error_number();
  }
  std::string read(const std::string& path) {
    auto content = at().read(path);
    EXPECT_TRUE(content.has_value()) << content.error().describe();
    return content ? *content : "";
  }
  std::map<std::string, std::string> everything() { return *at().everything(); }
  [[nodiscard]] std::filesystem::path data() const { return folder_.path() / "data"; }
  [[nodiscard]] std::filesystem::path log() const { return folder_.path() / "log"; }

  TemporaryDirectory folder_;
  MemoryBaseFiles base_;
  std::unique_ptr<Overlay> overlay_;
};

// --- names ---

TEST_F(OverlayTest, ShowsTheBase) {
  EXPECT_THAT(everything(), ElementsAre(Key("base/"), Key("base/1/"), Key("base/1/100"), Key("base/1/101"),
                                        Key("empty/"), Pair("top", "of the base")));
  const auto info = at().find("base/1/101")->info();
  EXPECT_EQ(info.kind, OverlayNodeKind::regular);
  EXPECT_EQ(info.mode, 0600U);
  EXPECT_EQ(info.size_bytes, block + 100);
  EXPECT_EQ(info.links, 1U);
  EXPECT_EQ(errno_of(at().find("nothing")), ENOENT);
  EXPECT_EQ(errno_of(at().find("top/nothing")), ENOTDIR);
  EXPECT_EQ(errno_of(overlay_->info(4711)), ESTALE);
  EXPECT_TRUE(std::filesystem::is_empty(data())) << "looking writes nothing";
}

TEST_F(OverlayTest, HidesARemovedNameOfTheBaseForGood) {
  ok(at().remove_file("top"));
  EXPECT_EQ(errno_of(at().find("top")), ENOENT);
  EXPECT_EQ(errno_of(at().remove_file("top")), ENOENT);
  reopen();
  EXPECT_EQ(errno_of(at().find("top")), ENOENT);
  ok(at().make_file("top"));
  EXPECT_EQ(read("top"), "");
  ok(at().remove_file("top"));
  reopen();
  EXPECT_EQ(errno_of(at().find("top")), ENOENT) << "what hid it went, it stays hidden";
}

TEST_F(OverlayTest, ForgetsARemovedNameThatTheBaseHasNot) {
  ok(at().make_file("new"));
  ok(at().remove_file("new"));
  reopen();
  const auto log = read_overlay_log(*read_file(this->log()));
  EXPECT_EQ(log->records.size(), 1U) << "the root's mode alone";
}

TEST_F(OverlayTest, RenamesAFolderOfTheBaseWithAllThatIsInIt) {
  const auto before = read("base/1/100");
  ok(at().write("base/1/101", 10, "written"));
  ok(at().rename("base", "moved"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(errno_of(at().find("base")), ENOENT);
    EXPECT_EQ(read("moved/1/100"), before);
    EXPECT_EQ(read("moved/1/101").substr(8, 10), "CCwrittenC");
    reopen();
  }
  ok(at().make_folder("base"));
  EXPECT_EQ(errno_of(at().find("base/1")), ENOENT) << "another folder of that name";
}

TEST_F(OverlayTest, RenamesOverWhatIsThere) {
  const auto content = read("base/1/100");
  ok(at().rename("base/1/100", "top"));
  EXPECT_EQ(read("top"), content);
  EXPECT_EQ(errno_of(at().find("base/1/100")), ENOENT);
  EXPECT_EQ(errno_of(at().rename("top", "base/1/101", false)), EEXIST);
  EXPECT_EQ(errno_of(at().rename("top", "base")), EISDIR);
  EXPECT_EQ(errno_of(at().rename("base", "top")), ENOTDIR);
  EXPECT_EQ(errno_of(at().rename("empty", "base")), ENOTEMPTY);
  EXPECT_EQ(errno_of(at().rename("nothing", "top")), ENOENT);
  ok(at().rename("base", "empty"));
  ok(at().rename("top", "top"));
  reopen();
  EXPECT_THAT(everything(),
              ElementsAre(Key("empty/"), Key("empty/1/"), Key("empty/1/101"), Pair("top", content)));
}

TEST_F(OverlayTest, RemovesFoldersThatAreEmpty) {
  EXPECT_EQ(errno_of(at().remove_folder("base/1")), ENOTEMPTY) << "by the base's content";
  EXPECT_EQ(errno_of(at().remove_file("base/1")), EISDIR);
  EXPECT_EQ(errno_of(at().remove_folder("top")), ENOTDIR);
  ok(at().remove_file("base/1/100"));
  ok(at().make_file("base/1/new"));
  ok(at().remove_file("base/1/101"));
  EXPECT_EQ(errno_of(at().remove_folder("base/1")), ENOTEMPTY) << "by the overlay's";
  ok(at().remove_file("base/1/new"));
  ok(at().remove_folder("base/1"));
  ok(at().make_folder("base/1"));
  reopen();
  EXPECT_THAT(everything(), ElementsAre(Key("base/"), Key("base/1/"), Key("empty/"), Key("top")));
}

TEST_F(OverlayTest, GivesAFileSeveralNames) {
  ok(at().add_name("top", "empty/other"));
  EXPECT_EQ(at().find("top")->info().links, 2U);
  EXPECT_EQ(at().find("top")->node(), at().find("empty/other")->node());
  EXPECT_EQ(errno_of(at().add_name("base", "folder")), EPERM);
  EXPECT_EQ(errno_of(at().add_name("top", "base")), EEXIST);
  ok(at().rename("top", "empty/other"));
  EXPECT_EQ(at().find("top")->info().links, 2U) << "two names of one file: nothing happens";
  ok(at().remove_file("top"));
  ok(at().write("empty/other", 0, "OF"));
  reopen();
  EXPECT_EQ(read("empty/other"), "OF the base");
  EXPECT_EQ(at().find("empty/other")->info().links, 1U);
}

TEST_F(OverlayTest, KeepsARemovedFileWhileItIsInUse) {
  {
    const auto of_base = at().find("base/1/100");
    const auto written = at().find("top");
    ok(overlay_->write(written->node(), 0, as_byte_view("OF")));
    ok(at().remove_file("base/1/100"));
    ok(at().remove_file("top"));
    EXPECT_EQ(overlay_->info(written->node())->links, 0U);
    EXPECT_EQ(*at().read(*written), "OF the base");
    ok(overlay_->write(of_base->node(), 5, as_byte_view("late")));
    ok(overlay_->sync(of_base->node()));
    EXPECT_EQ(at().read(*of_base)->substr(4, 6), "AlateA");
    ok(at().make_file("top"));
    EXPECT_EQ(read("top"), "");
    EXPECT_FALSE(std::filesystem::is_empty(data()));
  }
  wait_until("their data to be gone", [&] { return std::filesystem::is_empty(data()); });
  reopen();
  EXPECT_THAT(everything(),
              ElementsAre(Key("base/"), Key("base/1/"), Key("base/1/101"), Key("empty/"), Pair("top", "")));
}

TEST_F(OverlayTest, ForgetsWhatWasOnlyLookedAt) {
  const auto first = at().find("base/1/100")->node();
  EXPECT_EQ(errno_of(overlay_->info(first)), ESTALE);
  const auto held = at().find("base/1/100");
  EXPECT_EQ(at().find("base/1/100")->node(), held->node()) << "one node while somebody knows it";
}

TEST_F(OverlayTest, KeepsSymbolicLinksAndModes) {
  const auto link = overlay_->make_symbolic_link(root_node, "link", "../somewhere");
  EXPECT_EQ(link->size_bytes, 12U);
  overlay_->forget(link->node, 1);
  ok(overlay_->set_mode(at().find("top")->node(), 0640));
  ok(overlay_->set_mode(root_node, 0711));
  reopen();
  EXPECT_EQ(*overlay_->link_target(at().find("link")->node()), "../somewhere");
  EXPECT_EQ(errno_of(overlay_->link_target(at().find("top")->node())), EINVAL);
  EXPECT_EQ(at().find("top")->info().mode, 0640U);
  EXPECT_EQ(read("top"), "of the base");
  EXPECT_EQ(overlay_->info(root_node)->mode, 0711U);
}

// --- content ---

TEST_F(OverlayTest, WritesPartsOfBlocks) {
  auto expected = read("base/1/100");
  const auto write = [&](std::size_t offset, std::size_t size) {
    const std::string text(size, static_cast<char>('a' + offset % 26));
    ok(at().write("base/1/100", offset, text));
    expected.resize(std::max(expected.size(), offset + size));
    expected.replace(offset, size, text);
    EXPECT_TRUE(read("base/1/100") == expected) << offset << ", " << size;
  };
  write(100, 10);
  write(block - 1, 2);          // across a boundary
  write(2 * block, 1);          // the beginning of one
  write(3 * block - 1, 1);      // the last byte of the base
  write(3 * block - 10, 20);    // across its end
  write(5 * block + 1, block);  // behind a hole
  reopen();
  EXPECT_TRUE(read("base/1/100") == expected);
}

TEST_F(OverlayTest, HasTheBasesEndWithinABlock) {
  auto expected = std::string(block + 100, 'C');
  ok(at().resize("base/1/101", 2 * block + 7));
  expected.resize(2 * block + 7);
  EXPECT_TRUE(read("base/1/101") == expected);
  ok(at().write("base/1/101", block + 200, "behind"));
  expected.replace(block + 200, 6, "behind");
  EXPECT_TRUE(read("base/1/101") == expected);
  reopen();
  EXPECT_TRUE(read("base/1/101") == expected);
}

TEST_F(OverlayTest, ReadsZerosWhereItWasCutAndGrewAgain) {
  ok(at().write("base/1/100", block, std::string(block, 'w')));
  ok(at().resize("base/1/100", 50));
  ok(at().resize("base/1/100", 3 * block));
  auto expected = std::string(50, 'A');
  expected.resize(3 * block);
  EXPECT_TRUE(read("base/1/100") == expected);
  reopen();
  EXPECT_TRUE(read("base/1/100") == expected);
  ok(at().write("base/1/100", 2 * block + 10, "x"));
  expected[2 * block + 10] = 'x';
  reopen();
  EXPECT_TRUE(read("base/1/100") == expected);
}

TEST_F(OverlayTest, AllocatesWithAndWithoutKeepingTheSize) {
  auto expected = std::string(block + 100, 'C');
  {
    const auto file = at().find("base/1/101");
    ok(overlay_->allocate(file->node(), FALLOC_FL_KEEP_SIZE, 0, 10 * block));
    EXPECT_EQ(overlay_->info(file->node())->size_bytes, block + 100);
    ok(overlay_->allocate(file->node(), 0, block, 3 * block));
    expected.resize(4 * block);
    EXPECT_TRUE(*at().read(*file) == expected);
    EXPECT_EQ(errno_of(overlay_->allocate(file->node(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1)),
              EOPNOTSUPP);
  }
  EXPECT_EQ(errno_of(overlay_->allocate(root_node, 0, 0, 1)), ENODEV);
  reopen();
  EXPECT_TRUE(read("base/1/101") == expected);
}

TEST_F(OverlayTest, ReadsNoFurtherThanTheEnd) {
  const auto file = at().find("top");
  Bytes into(100);
  EXPECT_EQ(*overlay_->read(file->node(), 3, into), 8U);
  EXPECT_EQ(*overlay_->read(file->node(), 11, into), 0U);
  EXPECT_EQ(*overlay_->read(file->node(), 4711, into), 0U);
  EXPECT_EQ(errno_of(overlay_->read(root_node, 0, into)), EISDIR);
  EXPECT_EQ(errno_of(overlay_->write(root_node, 0, into)), EISDIR);
}

TEST_F(OverlayTest, SaysWhichPartsAreItsOwn) {
  ok(at().write("base/1/100", block + 1, "x"));
  const auto changes = overlay_->changes(at().find("base/1/100")->node());
  EXPECT_EQ(changes->base_path, "base/1/100");
  EXPECT_EQ(changes->base_limit_bytes, 3 * block);
  EXPECT_THAT(changes->blocks, ElementsAre(false, true, false));
}

// --- errors ---

// An object that is missing in the repository is not a file that is missing: PostgreSQL would go on without.
TEST_F(OverlayTest, AnswersWhatIsLostInTheBaseAsAnIoError) {
  const auto file = at().find("base/1/100");
  base_.fail_all();
  Bytes into(10);
  EXPECT_EQ(errno_of(overlay_->read(file->node(), 0, into)), EIO);
  EXPECT_EQ(errno_of(overlay_->lookup(root_node, "top")), EIO);
  EXPECT_EQ(errno_of(overlay_->list(root_node)), EIO);
  EXPECT_EQ(errno_of(overlay_->make_file(root_node, "new", 0600)), EIO);
  EXPECT_EQ(errno_of(overlay_->write(file->node(), 1, as_byte_view("x"))), EIO);
  ok(overlay_->write(file->node(), 0, as_byte_view(std::string(block, 'w'))));
  EXPECT_EQ(*overlay_->read(file->node(), 0, into), 10U) << "a whole block needs nothing of the base";
  EXPECT_THAT(overlay_->changes(file->node())->blocks, ElementsAre(true, false, false));
}

TEST_F(OverlayTest, AnswersLostDataAsAnIoErrorAndNotAsZeros) {
  ok(at().write("base/1/100", 0, std::string(block, 'w')));
  ok(at().sync("base/1/100"));
  overlay_.reset();
  open();
  for (const auto& file : std::filesystem::directory_iterator(data())) std::filesystem::remove(file);
  EXPECT_EQ(errno_of(at().read("base/1/100")), EIO);
}

TEST_F(OverlayTest, RefusesToOpenWithoutDataThatTheLogSpeaksOf) {
  ok(at().write("base/1/100", 0, std::string(block, 'w')));
  ok(at().sync("base/1/100"));
  overlay_.reset();
  for (const auto& file : std::filesystem::directory_iterator(data())) std::filesystem::remove(file);
  const auto opened = Overlay::open(folder_.path(), base_);
  ASSERT_FALSE(opened.has_value()) << "or what the base has there would be shown";
  EXPECT_EQ(opened.error().code(), ErrorCode::damaged);
  EXPECT_THAT(opened.error().describe(), HasSubstr("missing"));
}

TEST_F(OverlayTest, RefusesALogThatIsNone) {
  overlay_.reset();
  std::ofstream(log()) << "something else";
  EXPECT_EQ(Overlay::open(folder_.path(), base_).error().code(), ErrorCode::damaged);
  const OverlayRecord stray = NameRecord{root_node, "name", 4711};
  ASSERT_TRUE(OverlayLog::rewrite(log(), std::span(&stray, 1)).has_value());
  EXPECT_EQ(Overlay::open(folder_.path(), base_).error().code(), ErrorCode::damaged);
}

// --- one that is thrown away ---

TEST_F(OverlayTest, WaitsForNoDiskWhereItIsDisposable) {
  const auto write_and_sync = [this](Durability durability) {
    return paths_synced_by([&] {
      open({.durability = durability});
      ok(at().write("base/1/100", 0, std::string(block, 'w')));
      ok(at().make_file("new"));
      ok(at().sync("base/1/100"));
      ok(at().remove_file("new"));
      ok(overlay_->sync_all());
      open({.durability = durability});
      EXPECT_EQ(read("base/1/100"),
                std::string(block, 'w') + std::string(block, 'A') + std::string(block, 'B'));
      ok(overlay_->sync_all());
      overlay_.reset();
    });
  };
  EXPECT_THAT(write_and_sync(Durability::disposable), IsEmpty());
  EXPECT_THAT(write_and_sync(Durability::kept), Contains(StartsWith(data().native() + "/")))
      << "or none is seen at all";
}

// --- what is left behind ---

TEST_F(OverlayTest, LosesWhatWasNotSyncedButNeverHalf) {
  ok(at().write("base/1/100", 0, std::string(block, 's')));
  ok(at().sync("base/1/100"));
  ok(at().write("base/1/100", block, std::string(block, 'u')));
  ok(at().make_file("unsynced"));
  open();  // without a sync: what the log was not told is as it was
  EXPECT_TRUE(read("base/1/100") ==
              std::string(block, 's') + std::string(block, 'A') + std::string(block, 'B'));
}

TEST_F(OverlayTest, TakesNoSizeFromAFileThatWasNeverFinished) {
  ok(at().write("base/1/100", 0, std::string(block, 's')));
  ok(at().sync("base/1/100"));
  const auto node = at().find("base/1/101")->node();
  overlay_.reset();
  std::ofstream(data() / (std::to_string(node + 1) + ".new")) << "x";
  std::ofstream(data() / "4711") << "of a file that the log does not know";
  open();
  EXPECT_EQ(read("base/1/101").size(), block + 100);
  EXPECT_EQ(std::ranges::distance(std::filesystem::directory_iterator(data())), 1);
}

TEST_F(OverlayTest, CompactsItsLogWhileItIsUsed) {
  constexpr std::uint64_t limit_bytes = 20'000;
  open({.compact_log_bytes = limit_bytes});
  ok(at().write("base/1/100", block, std::string(block, 'w')));
  ok(at().sync("base/1/100"));
  auto open_one = at().find("top");
  ok(overlay_->write(open_one->node(), 0, as_byte_view("OF")));
  ok(at().remove_file("top"));
  std::uint64_t longest = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto name = fmt::format("temporary{}", round);
    ok(at().make_file(name));
    ok(at().sync(name));
    ok(at().rename(name, "result"));
    longest = std::max(longest, std::filesystem::file_size(log()));
  }
  EXPECT_LT(longest, 10 * limit_bytes);
  wait_until("the last one", [&] { return std::filesystem::file_size(log()) < 2 * limit_bytes; });
  ok(overlay_->write(open_one->node(), 0, as_byte_view("of")));
  ok(overlay_->sync(open_one->node()));  // speaks of a node without a name, behind the compacted part
  open_one = std::unexpected(make_error(ErrorCode::not_found, "closed"));
  const auto before = everything();
  open();
  EXPECT_THAT(everything(), ::testing::ContainerEq(before));
}

// Readers, writers and those who make and remove names, all at once: for the sanitizers, mostly.
TEST_F(OverlayTest, ServesManyAtOnce) {
  open({.compact_log_bytes = 1000});
  const auto work = [&](int number) {
    OverlayByPath paths(*overlay_);
    const auto mine = fmt::format("file{}", number);
    for (int round = 0; round < 200; ++round) {
      ok(paths.make_file(mine));
      ok(paths.write(mine, static_cast<std::uint64_t>(round), "text"));
      ok(paths.write("base/1/100", static_cast<std::uint64_t>(number) * block, std::string(block, 'w')));
      ok(paths.sync(round % 2 == 0 ? mine : "base/1/100"));
      static_cast<void>(paths.everything());
      ok(paths.rename(mine, mine + "x"));
      ok(paths.remove_file(mine + "x"));
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int number = 0; number < 4; ++number) threads.emplace_back(work, number);
  }
  reopen();
  EXPECT_TRUE(read("base/1/100") == std::string(4 * block, 'w'));
}

}  // namespace
}  // namespace pgstrata
