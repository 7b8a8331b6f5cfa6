// What is read of the store, how often, and who waits for it.
#include "storage/conformance.h"
#include "storage/fault/fault_store.h"
#include "storage/near/near_store_test_support.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class NearHarness {
 public:
  ObjectStore& store() { return store_; }
  ObjectStore& other() { return other_; }

 private:
  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-near-").value();
  MemoryStore beneath_;
  NearStore store_{beneath_, options_in(directory_.path() / "near")};
  NearStore other_{beneath_, options_in(directory_.path() / "near")};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Near, ObjectStoreConformance, NearHarness);

TEST_F(NearStoreTest, ReadsTheStoreOnceForEachBlock) {
  put("packs/a", 3 * near_block_bytes + 1000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 10), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 100'000, 300'000), 0);
  EXPECT_EQ(reads_for(store_, "packs/a", near_block_bytes - 5, 10), 1) << "across a border";
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 4 * near_block_bytes), 2);
  EXPECT_EQ(beneath_.read_bytes, 3 * near_block_bytes + 1000);
  const auto later = another();
  for (const std::size_t size : {1U, 4096U, 65535U, 65536U, 65537U, 524288U, 2'000'000U}) {
    for (const std::uint64_t offset : {0U, 1U, 65535U, 65536U, 524287U, 524288U, 1'572'863U, 1'572'864U,
                                       1'573'863U, 1'573'864U, 5'000'000U}) {
      if (offset >= 4 * near_block_bytes) continue;
      EXPECT_EQ(reads_for(*later, "packs/a", offset, size), 0);
    }
  }
}

TEST_F(NearStoreTest, KnowsWhereAnObjectEnds) {
  put("packs/whole", near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/whole", 0, near_block_bytes + 1), 2);
  EXPECT_EQ(reads_for(store_, "packs/whole", 0, near_block_bytes + 1), 0)
      << "that there is no more is kept, too";
  put("packs/short", 100);
  EXPECT_EQ(reads_for(store_, "packs/short", 90, 100), 1);
  EXPECT_EQ(reads_for(store_, "packs/short", 100, 100), 0);
  put("packs/empty", 0);
  EXPECT_EQ(reads_for(store_, "packs/empty", 0, 100), 1);
  EXPECT_EQ(reads_for(store_, "packs/empty", 0, 100), 0);
  Bytes more(11);
  const auto done = store_.read("packs/short", 90, more);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::damaged);
}

TEST_F(NearStoreTest, IsOnlyForItsUser) {
  put("packs/a", 10);
  const mode_t before = ::umask(0);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 10), 1);
  ::umask(before);
  EXPECT_EQ(stat_file(only_file()).value().permissions, 0600U);
  EXPECT_EQ(stat_file(folder_).value().permissions, 0700U);
  EXPECT_EQ(stat_file(only_file().parent_path()).value().permissions, 0700U);
  EXPECT_FALSE(store_.capabilities().far);
}

TEST_F(NearStoreTest, WhatIsWrittenMoreThanOnceGoesPast) {
  put("wal/journal", 10);
  EXPECT_EQ(reads_for(store_, "wal/journal", 0, 10), 1);
  EXPECT_EQ(reads_for(store_, "wal/journal", 0, 10), 1);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(NearStoreTest, AnotherObjectOfTheSameNameIsAnother) {
  put("wal/segment", 1000, 1);
  ASSERT_TRUE(store_.stat("wal/segment"));
  EXPECT_EQ(reads_for(store_, "wal/segment", 0, 1000), 1);
  ASSERT_TRUE(beneath_.remove("wal/segment"));
  put("wal/segment", 1000, 2);
  const auto later = another();
  ASSERT_TRUE(later->stat("wal/segment"));
  EXPECT_EQ(reads_for(*later, "wal/segment", 0, 1000), 1);
  ASSERT_TRUE(store_.stat("wal/segment"));
  EXPECT_EQ(reads_for(store_, "wal/segment", 0, 1000), 0);
}

TEST_F(NearStoreTest, NothingIsKeptByAVersionThatIsNotKnown) {
  put("wal/segment", 1000);
  EXPECT_EQ(reads_for(store_, "wal/segment", 0, 1000), 1);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_FALSE(store_.forget_copies("wal/segment", 0, 1000));
}

TEST_F(NearStoreTest, WhoAskedForAPackFindsWhatOthersHaveKept) {
  put("packs/a", 1000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  ASSERT_TRUE(store_.stat("packs/a"));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(NearStoreTest, ErrorsPassThroughAndAreNotKept) {
  put("packs/a", 10);
  FaultStore faults(beneath_, 1);
  NearStore store(faults, options_in(folder_));
  Bytes into(10);
  for (const auto code : {ErrorCode::unavailable, ErrorCode::damaged, ErrorCode::permission}) {
    faults.set_fault({.at_step = faults.steps() + 1, .code = code});
    const auto got = store.read_some("packs/a", 0, into);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), code);
  }
  EXPECT_EQ(store.read_some("packs/missing", 0, into).error().code(), ErrorCode::not_found);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(reads_for(store, "packs/a", 0, 10), 1);
  put("packs/missing", 5);
  EXPECT_EQ(reads_for(store, "packs/missing", 0, 10), 1);
}

TEST_F(NearStoreTest, ConcurrentReadersFetchABlockOnce) {
  put("packs/a", near_block_bytes);
  beneath_.before_read = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  std::vector<std::thread> readers;
  for (unsigned who = 0; who < 8; ++who) {
    readers.emplace_back([&, who] { EXPECT_TRUE(reads_right(store_, "packs/a", who * 50'000, 50'000)); });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(beneath_.reads, 1);
}

TEST_F(NearStoreTest, AllWhoWaitAreToldOfAFailure) {
  beneath_.before_read = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  std::atomic<int> told{0};
  std::vector<std::thread> readers;
  for (int who = 0; who < 4; ++who) {
    readers.emplace_back([&] {
      Bytes into(10);
      const auto got = store_.read_some("packs/missing", 0, into);
      if (!got && got.error().code() == ErrorCode::not_found) ++told;
    });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(told, 4);
}

TEST_F(NearStoreTest, NobodyWaitsForWhoGaveUp) {
  put("packs/a", 1000);
  std::atomic<bool> begun = false;
  beneath_.before_read = [&] {
    if (begun.exchange(true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    throw std::bad_alloc();
  };
  std::thread other([&] {
    while (!begun) std::this_thread::yield();
    EXPECT_TRUE(reads_right(store_, "packs/a", 0, 1000));
  });
  Bytes into(10);
  EXPECT_THROW(static_cast<void>(store_.read_some("packs/a", 0, into)), std::bad_alloc);
  other.join();
  EXPECT_EQ(beneath_.reads, 2);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
}

}  // namespace
}  // namespace pgstrata
