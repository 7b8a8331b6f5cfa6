// What was written over the base and left alone becomes a difference from it, and nothing else changes.
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/sanitized.h"
#include "branch/overlay_workload.h"
#include "support/child_process.h"
#include "support/test_seed.h"
#include "support/wait_until.h"
#include "sys/files.h"
#include "sys/synced_paths_for_test.h"

namespace pgstrata {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;
using testing::wait_until;

constexpr std::size_t page = page_size;
constexpr std::size_t file_extents = 8;
constexpr int rounds_beside_others = sanitized ? 60 : 300;
constexpr std::size_t file_bytes =
    file_extents * extent_bytes + 3 * overlay_block_bytes;  // and the base ends within an extent

class OverlaySettleTest : public ::testing::Test {
 protected:
  OverlaySettleTest() {
    std::mt19937_64 random(1);
    content_.resize(file_bytes);
    for (char& byte : content_) byte = static_cast<char>(random());
    base_.add_file("table", content_);
    base_.add_file("other", content_);
    open();
  }
  void open(OverlayOptions options = {.settle_after = {}, .settle_least_bytes = 0}) {
    overlay_.reset();
    auto opened = Overlay::open(folder_.path(), base_, options);
    ASSERT_TRUE(opened.has_value()) << opened.error().describe();
    overlay_ = *std::move(opened);
  }
  OverlayByPath at() { return OverlayByPath(*overlay_); }
  static void ok(const Result<void>& done) { ASSERT_TRUE(done.has_value()) << done.error().describe(); }

  // To the overlay and to what is expected of it.
  void write(std::size_t offset, const std::string& text) {
    ok(at().write("table", offset, text));
    if (content_.size() < offset + text.size()) content_.resize(offset + text.size());
    content_.replace(offset, text.size(), text);
  }
  void resize(std::size_t size) {
    ok(at().resize("table", size));
    content_.resize(size);
  }
  // A row of each page changes, as PostgreSQL writes them.
  void change_pages(std::size_t first, std::size_t count, char with) {
    for (std::size_t number = first; number < first + count; ++number) {
      auto bytes = content_.substr(number * page, page);
      bytes.replace(1000, 20, 20, with);
      write(number * page, bytes);
    }
  }
  // All of it: what was written since the last call counts as left alone at the next.
  void settle() {
    ok(overlay_->settle());
    ok(overlay_->settle());
  }
  std::string read() {
    auto content = at().read("table");
    EXPECT_TRUE(content.has_value()) << content.error().describe();
    return content ? *content : "";
  }
  std::string read_error() {
    const auto content = at().read("table");
    return content ? "" : content.error().describe();
  }
  [[nodiscard]] NodeId node() { return at().find("table")->node(); }
  [[nodiscard]] std::filesystem::path data() { return folder_.path() / "data" / std::to_string(node()); }
  [[nodiscard]] std::filesystem::path settled() {
    return folder_.path() / "settled" / std::to_string(node());
  }
  [[nodiscard]] std::uint64_t data_bytes() { return stat_file(data())->allocated_bytes; }
  static void flip(const std::filesystem::path& path, std::size_t offset) {
    auto bytes = *read_file(path);
    bytes[offset] ^= std::byte{1};
    ASSERT_TRUE(write_file(path, bytes).has_value());
  }

  TemporaryDirectory folder_;
  MemoryBaseFiles base_;
  std::string content_;
  std::unique_ptr<Overlay> overlay_;
};

TEST_F(OverlaySettleTest, TakesAFractionOfTheRoom) {
  change_pages(0, 128, 'x');
  EXPECT_GE(data_bytes(), 128 * page);
  settle();
  EXPECT_EQ(data_bytes(), 0U);
  EXPECT_LT(stat_file(settled())->size_bytes, 128 * 100U);
  EXPECT_TRUE(read() == content_);
  open();
  EXPECT_TRUE(read() == content_);
  EXPECT_EQ(data_bytes(), 0U);
}

TEST_F(OverlaySettleTest, InMoreRunsThanAFrameOfTheLogTakes) {
  constexpr std::size_t pages = 700;
  base_.add_file("scattered", std::string(pages * page, 'b'));
  open();
  std::string expected(pages * page, 'b');
  for (std::size_t number = 0; number < pages; number += 2) {
    const std::string bytes(page, static_cast<char>('c' + number % 20));
    ok(at().write("scattered", number * page, bytes));
    expected.replace(number * page, page, bytes);
  }
  settle();
  for (int round = 0; round < 2; ++round) {
    const auto id = at().find("scattered")->node();
    EXPECT_LE(stat_file(folder_.path() / "data" / std::to_string(id))->allocated_bytes, extent_bytes)
        << "of its last extent, which is none";
    EXPECT_TRUE(at().read("scattered").value() == expected);
    ok(overlay_->sync_all());
    open();
  }
}

TEST_F(OverlaySettleTest, OnlyWhatIsLeftAlone) {
  change_pages(0, 32, 'x');
  ok(overlay_->settle());
  change_pages(16, 1, 'y');  // of the second extent
  ok(overlay_->settle());
  EXPECT_EQ(data_bytes(), 16 * page) << "the second was written to";
  ok(overlay_->settle());
  EXPECT_EQ(data_bytes(), 0U);
  EXPECT_TRUE(read() == content_);
}

TEST_F(OverlaySettleTest, NotWhatWouldNotBecomeSmaller) {
  std::mt19937_64 random(2);
  std::string noise(2 * page, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  write(0, noise);
  change_pages(16, 2, 'x');
  settle();
  EXPECT_EQ(data_bytes(), 2 * page);
  EXPECT_TRUE(read() == content_);
}

// Each time half of what is written is as it was, until nothing is.
TEST_F(OverlaySettleTest, WhatDoesNotBecomeSmallerBitByBitStaysAsItIs) {
  std::mt19937_64 random(3);
  for (const std::size_t pages_of_noise : {7, 14, 16}) {
    std::string extent = content_.substr(0, extent_bytes);
    for (std::size_t at = 0; at < pages_of_noise * page; ++at) extent[at] = static_cast<char>(random());
    write(0, extent);
    settle();
    EXPECT_TRUE(read() == content_);
    ok(overlay_->sync_all());
    open();
    EXPECT_TRUE(read() == content_);
  }
  EXPECT_EQ(data_bytes(), extent_bytes);
}

TEST_F(OverlaySettleTest, OverDamageOfTheBaseItStaysAsItIs) {
  change_pages(0, 64, 'x');
  base_.damage("table", extent_bytes);
  settle();
  EXPECT_EQ(data_bytes(), extent_bytes);
}

// Each settled file is open; others are to be opened, too.
TEST_F(OverlaySettleTest, NotInMoreFilesThanMayBeOpen) {
  constexpr std::size_t files = 80;
  for (std::size_t i = 0; i < files; ++i) base_.add_file(std::to_string(i), content_.substr(0, extent_bytes));
  open();
  for (std::size_t i = 0; i < files; ++i)
    ok(at().write(std::to_string(i), 0, content_.substr(0, extent_bytes - 10) + "0123456789"));
  ok(overlay_->sync_all());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{.rlim_cur = 200, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  settle();
  settle();
  open();
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path() / "settled"), {}), 50);
  for (std::size_t i = 0; i < files; ++i)
    EXPECT_TRUE(at().read(std::to_string(i)).value().ends_with("0123456789")) << i;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(OverlaySettleTest, WhatIsAsTheBaseHasItTakesNothing) {
  const auto before = content_;
  change_pages(0, 16, 'x');
  settle();
  write(0, before.substr(0, extent_bytes));
  settle();
  EXPECT_EQ(data_bytes(), 0U);
  EXPECT_LT(stat_file(settled())->size_bytes, 100U);
  EXPECT_TRUE(read() == before);
  open();
  EXPECT_TRUE(read() == before);
}

TEST_F(OverlaySettleTest, IsWrittenToAgain) {
  change_pages(0, 64, 'x');
  settle();
  change_pages(3, 2, 'y');
  write(40 * page + 100, "within a block");
  write(extent_bytes - 10, "across two extents, neither whole");
  EXPECT_TRUE(read() == content_);
  ok(overlay_->sync_all());
  open();
  EXPECT_TRUE(read() == content_);
  settle();
  EXPECT_EQ(data_bytes(), 0U);
  EXPECT_TRUE(read() == content_);
  open();
  EXPECT_TRUE(read() == content_);
}

TEST_F(OverlaySettleTest, IsCutAndGrowsAgain) {
  change_pages(0, 64, 'x');
  settle();
  for (const std::size_t size :
       std::array<std::size_t, 3>{3 * extent_bytes + 100, extent_bytes + 2 * page, 5000}) {
    resize(size);
    EXPECT_TRUE(read() == content_);
    write(size + page, "behind the cut");
    EXPECT_TRUE(read() == content_);
    settle();
    EXPECT_TRUE(read() == content_);
    ok(overlay_->sync_all());
    open();
    EXPECT_TRUE(read() == content_);
  }
}

// Whoever stores or copies what the overlay has takes what has settled for changed.
TEST_F(OverlaySettleTest, IsAmongTheChanges) {
  const auto before = content_;
  change_pages(17, 2, 'x');
  settle();
  write(18 * page, before.substr(18 * page, page));  // as the base has it: who copied it before must know
  settle();
  write(0, std::string(overlay_block_bytes, 'y'));
  const auto changes = overlay_->changes(node());
  ASSERT_TRUE(changes.has_value());
  std::vector<std::size_t> changed;
  for (std::size_t number = 0; number < changes->blocks.size(); ++number)
    if (changes->blocks[number]) changed.push_back(number);
  EXPECT_THAT(changed, ::testing::ElementsAre(0, 34, 35, 36, 37));
}

TEST_F(OverlaySettleTest, OfItselfAfterAWhile) {
  open({.settle_after = std::chrono::milliseconds(5), .settle_least_bytes = 32 * page});
  change_pages(0, 128, 'x');
  wait_until("all has settled", [this] { return data_bytes() == 0; });
  EXPECT_TRUE(read() == content_);
}

TEST_F(OverlaySettleTest, NeverWhereItIsDisposable) {
  open({.durability = Durability::disposable,
        .settle_after = std::chrono::milliseconds(1),
        .settle_least_bytes = 0});
  change_pages(0, 128, 'x');
  // The same thread removes data: it has been through all its work once these are gone.
  for (int round = 0; round < 3; ++round) {
    ok(at().write("other", 0, "x"));
    const auto other = folder_.path() / "data" / std::to_string(at().find("other")->node());
    ok(at().remove_file("other"));
    wait_until("its data are gone", [&] { return !std::filesystem::exists(other); });
    ok(at().make_file("other"));
  }
  EXPECT_GE(data_bytes(), 128 * page);
}

TEST_F(OverlaySettleTest, GoesWithItsFile) {
  change_pages(0, 32, 'x');
  settle();
  const auto path = settled();
  ok(at().remove_file("table"));
  wait_until("what has settled of it is gone", [&] { return !std::filesystem::exists(path); });
  ASSERT_TRUE(write_file(folder_.path() / "settled" / "4711", as_byte_view("left")).has_value());
  ASSERT_TRUE(write_file(folder_.path() / "settled" / "2.new", as_byte_view("left")).has_value());
  open();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() / "settled"));
}

// --- what goes wrong ---

TEST_F(OverlaySettleTest, StaysAsItWasWhereItCannotBeStored) {
  ASSERT_TRUE(write_file(folder_.path() / "settled", as_byte_view("no folder")).has_value());
  change_pages(0, 32, 'x');
  ok(overlay_->settle());
  EXPECT_FALSE(overlay_->settle().has_value());
  EXPECT_EQ(data_bytes(), 32 * page);
  EXPECT_TRUE(read() == content_);
  std::filesystem::remove(folder_.path() / "settled");
  ok(overlay_->settle());
  EXPECT_EQ(data_bytes(), 0U) << "it is tried again";
  EXPECT_TRUE(read() == content_);
}

TEST_F(OverlaySettleTest, TellsOfADamagedOne) {
  change_pages(0, 32, 'x');
  settle();
  const auto path = settled();
  flip(path, 20);
  EXPECT_THAT(read_error(), HasSubstr(path.native()));
  EXPECT_EQ(at().read("table").error().error_number(), EIO);
  flip(path, 20);
  EXPECT_TRUE(read() == content_);
}

TEST_F(OverlaySettleTest, IsNotOpenedWithoutOneThatTheLogSpeaksOf) {
  change_pages(0, 32, 'x');
  settle();
  const auto path = settled();
  const auto first = *read_file(path);
  change_pages(0, 32, 'y');
  settle();
  const auto second = *read_file(path);
  overlay_.reset();
  const auto open_error = [&] {
    const auto opened = Overlay::open(folder_.path(), base_);
    return opened ? "" : std::string(to_string(opened.error().code())) + opened.error().describe();
  };
  ASSERT_TRUE(write_file(path, first).has_value());
  EXPECT_THAT(open_error(), HasSubstr("old"));
  std::filesystem::remove(path);
  EXPECT_THAT(open_error(), HasSubstr("missing"));
  for (const std::size_t from_end : {1U, 10U, 17U, 20U}) {
    ASSERT_TRUE(write_file(path, second).has_value());
    flip(path, second.size() - from_end);
    EXPECT_THAT(open_error(), HasSubstr("damaged")) << from_end;
  }
  ASSERT_TRUE(write_file(path, second).has_value());
  open();
  EXPECT_TRUE(read() == content_);
}

// --- crashes between its steps, and others at work ---

// Log, data and settled files, each of a moment before or after.
void put_together(const std::filesystem::path& into, const std::filesystem::path& log,
                  const std::filesystem::path& data, const std::filesystem::path& settled) {
  std::filesystem::copy(log / "log", into / "log");
  copy_files(data / "data", into / "data");
  copy_files(settled / "settled", into / "settled");
}

TEST(OverlaySettleCrashTest, ShowsTheSameAfterEachOfItsSteps) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const TemporaryDirectory folder;
    MemoryBaseFiles base;
    OverlayWorkload workload(base, seed);
    auto overlay = *Overlay::open(folder.path(), base, {.settle_after = {}, .settle_least_bytes = 0});
    for (int step = 1; step <= 100; ++step) {
      workload.step(*overlay);
      if (step % 10 != 0) continue;
      ASSERT_TRUE(overlay->settle().has_value());
      ASSERT_TRUE(overlay->sync_all().has_value());
      const TemporaryDirectory before;
      put_together(before.path(), folder.path(), folder.path(), folder.path());
      ASSERT_TRUE(overlay->settle().has_value());
      const std::array moments{std::array{before.path(), before.path(), folder.path()},  // stored
                               std::array{folder.path(), before.path(), folder.path()},  // told to the log
                               std::array{folder.path(), folder.path(), folder.path()}};
      for (const auto& [log, data, settled] : moments) {
        const TemporaryDirectory copy;
        put_together(copy.path(), log, data, settled);
        const auto again = Overlay::open(copy.path(), base);
        ASSERT_TRUE(again.has_value()) << again.error().describe();
        ASSERT_THAT(OverlayByPath(**again).everything().value(), Eq(workload.everything()));
      }
    }
  }
}

// What is written while it waits for one of its syncs stays.
TEST_F(OverlaySettleTest, WhileSomebodyWritesInTheMiddleOfIt) {
  for (std::size_t moment = 0;; ++moment) {
    SCOPED_TRACE(fmt::format("before sync {}", moment));
    change_pages(0, 64, static_cast<char>('a' + moment));
    ok(overlay_->sync_all());
    ok(overlay_->settle());
    std::uint64_t data_bytes_last = 0;
    std::size_t syncs = 0;
    const auto synced = paths_synced_by([&] { ok(overlay_->settle()); },
                                        [&] {
                                          data_bytes_last = data_bytes();
                                          if (syncs++ == moment) change_pages(5, 30, 'w');
                                        });
    EXPECT_EQ(synced.back(), folder_.path() / "log");
    EXPECT_GE(data_bytes_last, 64 * page) << "no room is given back before the log is durable";
    EXPECT_TRUE(read() == content_);
    ok(overlay_->sync_all());
    open();
    EXPECT_TRUE(read() == content_);
    if (syncs <= moment) break;
    EXPECT_GE(data_bytes(), 48 * page) << "of three extents";
    settle();
    EXPECT_EQ(data_bytes(), 0U);
  }
}

// Nor does it take what lies behind a cut for the base's.
TEST_F(OverlaySettleTest, WhileItsFileIsCutAndGrowsInTheMiddleOfIt) {
  for (std::size_t moment = 0;; ++moment) {
    SCOPED_TRACE(fmt::format("before sync {}", moment));
    const TemporaryDirectory folder;
    auto overlay = *Overlay::open(folder.path(), base_, {.settle_after = {}, .settle_least_bytes = 0});
    OverlayByPath paths(*overlay);
    auto expected = base_.files().at("table");
    const auto both = [&](std::size_t offset, const std::string& text) {
      ok(paths.write("table", offset, text));
      if (expected.size() < offset + text.size()) expected.resize(offset + text.size());
      expected.replace(offset, text.size(), text);
    };
    const std::string text(3 * extent_bytes, 'x');
    both(0, text);
    ok(overlay->settle());
    std::size_t syncs = 0;
    std::thread other;  // growth after a cut syncs, and so has to wait for this sync
    std::atomic<bool> cut = false;
    static_cast<void>(paths_synced_by([&] { ok(overlay->settle()); },
                                      [&] {
                                        if (syncs++ != moment) return;
                                        SyncNotes::instance().on = false;
                                        other = std::thread([&] {
                                          ok(paths.resize("table", extent_bytes + 5 * page));
                                          cut = true;
                                          expected.resize(extent_bytes + 5 * page);
                                          both(expected.size(), text);
                                        });
                                        wait_until("it is cut", [&] { return cut.load(); });
                                      }));
    const bool done = other.joinable();
    if (done) other.join();
    EXPECT_TRUE(paths.read("table").value() == expected);
    ok(overlay->sync_all());
    overlay = *Overlay::open(folder.path(), base_);
    EXPECT_TRUE(OverlayByPath(*overlay).read("table").value() == expected);
    if (!done) break;
  }
}

TEST_F(OverlaySettleTest, GivesBackItsRoomAfterACrashBeforeItDid) {
  change_pages(0, 64, 'x');
  ok(overlay_->sync_all());
  const auto path = data();
  const auto before = *read_file(path);
  settle();
  overlay_.reset();
  ASSERT_TRUE(write_file(path, before).has_value());
  open();
  EXPECT_TRUE(read() == content_);
  const auto room = data_bytes();
  change_pages(16, 1, 'y');  // which is data again
  ok(overlay_->settle());
  EXPECT_EQ(data_bytes(), room - 48 * page) << "three extents; the fourth is written to";
  EXPECT_TRUE(read() == content_);
}

// Each writer has every fourth page, so that all of them meet in all extents, and reads what it wrote itself.
TEST_F(OverlaySettleTest, WhileOthersReadAndWrite) {
  constexpr std::size_t writers = 4;
  constexpr std::size_t pages = file_extents * pages_per_extent;
  const auto seed = testing::test_seed();
  std::vector<std::thread> threads;
  std::atomic<bool> strange = false;
  std::atomic<std::size_t> at_work = writers;
  std::optional reference = at().find("table").value();
  const auto id = reference->node();
  for (std::size_t writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&, writer] {
      std::mt19937_64 random(seed + writer);
      std::string one(page, '\0');
      std::string all(pages * page, '\0');
      for (int round = 0; round < rounds_beside_others; ++round) {
        const auto number = random() % (pages / writers) * writers + writer;
        const auto mine = std::span(content_).subspan(number * page, page);
        if (random() % 3 == 0) {
          std::ranges::fill(mine.subspan(random() % 100, 300), static_cast<char>(random()));
          if (!overlay_->write(id, number * page, std::as_bytes(mine))) strange = true;
        }
        // Alone, or with all others' behind it: then there is time for its data to become a hole.
        auto& found = random() % 2 == 0 ? one : all;
        const auto from = found.size() == page ? number * page : 0;
        if (!overlay_->read(id, from, std::as_writable_bytes(std::span(found)))) strange = true;
        if (!std::ranges::equal(std::span(found).subspan(number * page - from, page), mine)) strange = true;
      }
      --at_work;
    });
  }
  while (at_work != 0) ok(overlay_->settle());
  for (auto& thread : threads) thread.join();
  reference.reset();
  EXPECT_FALSE(strange) << "seed " << seed;
  settle();
  EXPECT_TRUE(read() == content_);
  ok(overlay_->sync_all());
  open();
  EXPECT_TRUE(read() == content_);
}

}  // namespace
}  // namespace pgstrata
