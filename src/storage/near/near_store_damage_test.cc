// What is kept and is not what it was, or was wrong when it was read.
#include <fcntl.h>
#include <sys/stat.h>

#include "storage/near/near_store_test_support.h"

namespace pgstrata {
namespace {

using ::testing::IsEmpty;

TEST_F(NearStoreTest, WhatIsWrongIsReadAgainAndReplaced) {
  put("packs/a", 200'000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 200'000), 1);
  const auto file = only_file();
  const Bytes whole = read_file(file).value();
  ASSERT_EQ(whole.size(), near_header_bytes + 200'000);
  const auto heals = [&](const std::string& what, const std::function<void()>& harm) {
    SCOPED_TRACE(what);
    harm();
    EXPECT_EQ(reads_for(store_, "packs/a", 0, 200'000), 1);
    EXPECT_EQ(only_file(), file);
    EXPECT_TRUE(read_file(file).value() == whole);
    EXPECT_EQ(reads_for(store_, "packs/a", 0, 200'000), 0);
  };
  const auto write = [&](const Bytes& bytes) { ASSERT_TRUE(write_file(file, bytes)); };
  for (std::size_t at = 0; at < whole.size(); at += at < near_header_bytes + 4 ? 1 : 12'345) {
    heals(fmt::format("byte {}", at), [&] {
      Bytes changed = whole;
      changed[at] ^= std::byte{0x10};
      write(changed);
    });
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, near_header_bytes - 1, near_header_bytes,
                                 near_header_bytes + 100'000, whole.size() - 1}) {
    heals(fmt::format("cut to {}", size), [&] { write(to_bytes(ByteView(whole).first(size))); });
  }
  heals("longer", [&] {
    Bytes longer = whole;
    longer.push_back({});
    write(longer);
  });
  const auto elsewhere = directory_.path() / "elsewhere";
  ASSERT_TRUE(write_file(elsewhere, whole));
  const auto in_its_place = [&](const std::function<int()>& make) {
    return [&, make] {
      ASSERT_TRUE(remove_file(file));
      ASSERT_EQ(make(), 0);
    };
  };
  heals("a link", in_its_place([&] { return ::symlink(elsewhere.c_str(), file.c_str()); }));
  heals("a link to itself", in_its_place([&] { return ::symlink(file.c_str(), file.c_str()); }));
  heals("a FIFO", in_its_place([&] { return ::mkfifo(file.c_str(), 0600); }));
  heals("a folder", in_its_place([&] { return ::mkdir(file.c_str(), 0700); }));
  heals("a folder with something in it",
        in_its_place([&] { return ::mkdir(file.c_str(), 0700) + (write_file(file / "x", {}) ? 0 : 1); }));
  EXPECT_TRUE(read_file(elsewhere).value() == whole);
}

// What the store has said wrong once is kept as it was.
TEST_F(NearStoreTest, WhoFindsItWrongHasItReadAgain) {
  put("packs/a", 3 * near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 3 * near_block_bytes), 3);
  EXPECT_TRUE(store_.forget_copies("packs/a", near_block_bytes - 1, 2));
  EXPECT_FALSE(store_.forget_copies("packs/a", near_block_bytes - 1, 2));
  EXPECT_EQ(files().size(), 1U);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 3 * near_block_bytes), 2);
}

// As over a network that cut a read short.
TEST_F(NearStoreTest, OneThatSeemedToEndEarlyIsReadAgain) {
  put("packs/a", 1000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  ASSERT_TRUE(beneath_.remove("packs/a"));
  put("packs/a", 3 * near_block_bytes);
  Bytes into(3 * near_block_bytes);
  const auto done = store_.read("packs/a", 0, into);
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_TRUE(into == beneath_.get("packs/a").value());
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 3 * near_block_bytes), 0);
}

TEST_F(NearStoreTest, WhatIsForgottenWhileItIsFetchedIsNotKept) {
  put("packs/a", 1000);
  bool forgotten = false;
  beneath_.before_read = [&] { forgotten = store_.forget_copies("packs/a", 0, 10); };
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  beneath_.before_read = {};
  EXPECT_TRUE(forgotten);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
}

TEST_F(NearStoreTest, WhatIsForgottenWhileItIsBeingKeptDoesNotStay) {
  put("packs/a", 1000);
  std::atomic<bool> fetched = false;
  std::atomic<bool> keeping = false;
  beneath_.before_read = [&] { fetched = true; };
  // The file's name has a time in it.
  clock_.before_steady = [&] {
    if (!fetched || keeping.exchange(true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  std::thread fetcher([&] { EXPECT_TRUE(reads_right(store_, "packs/a", 0, 1000)); });
  while (!keeping) std::this_thread::yield();
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0) << "of what was fetched";
  EXPECT_TRUE(store_.forget_copies("packs/a", 0, 1000));
  fetcher.join();
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
}

TEST_F(NearStoreTest, OnlyThePiecesThatAreAskedForAreLookedAt) {
  put("packs/a", 200'000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1), 1);
  Bytes changed = read_file(only_file()).value();
  changed[near_header_bytes + near_piece_bytes + 5] ^= std::byte{1};
  ASSERT_TRUE(write_file(only_file(), changed));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_piece_bytes), 0);
  EXPECT_EQ(reads_for(store_, "packs/a", 2 * near_piece_bytes, near_piece_bytes), 0);
  EXPECT_EQ(reads_for(store_, "packs/a", near_piece_bytes - 1, 2), 1);
}

TEST_F(NearStoreTest, AnotherBlocksFileIsNotItsOwn) {
  put("packs/a", 1000, 1);
  put("packs/b", 1000, 2);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  const auto a = only_file();
  EXPECT_EQ(reads_for(store_, "packs/b", 0, 1000), 1);
  for (const auto& file : files()) {
    if (file != a) std::filesystem::copy_file(a, file, std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_EQ(reads_for(store_, "packs/b", 0, 1000), 1);
}

}  // namespace
}  // namespace pgstrata
