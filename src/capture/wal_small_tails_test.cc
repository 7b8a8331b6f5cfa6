#include "capture/wal_small_tails.h"

#include "capture/wal_sink_test.h"

namespace pgstrata {
namespace {

constexpr Timestamp noon{1'795'255'200'000'000};

class WalSmallTailsTest : public WalSinkTest {
 protected:
  [[nodiscard]] std::size_t tails_there() {
    const auto inventory = *WalInventory::load(space_, WalSample::segment_size_bytes);
    const auto* segment = inventory.find(first_timeline, wal_sample().start);
    return segment == nullptr ? 0 : segment->tails.size();
  }
  [[nodiscard]] Result<WalSegmentBytes> read() {
    return read_wal_segment(space_, *WalInventory::load(space_, WalSample::segment_size_bytes),
                            first_timeline, wal_sample().start);
  }
  // The next bytes of the sample, in two pieces.
  void put(std::size_t size, const std::optional<WalMark>& mark = {}) {
    const Lsn middle = end_ + size / 3;
    const Lsn next = end_ + size;
    ASSERT_EQ(message_of(tails_.put(end_, {sample_bytes(end_, middle), sample_bytes(middle, next)}, mark)),
              "ok");
    end_ = next;
  }
  void expect_all_read() {
    const auto segment = read();
    ASSERT_TRUE(segment) << segment.error().describe();
    EXPECT_TRUE(std::ranges::equal(segment->bytes, sample_bytes(wal_sample().start, end_)));
    EXPECT_EQ(segment->durable_to, end_);
  }

  StoreWithoutJournals store_without_;
  ClusterSpace space_{store_without_, "app", fixed_key(1)};
  WalSmallTails tails_{space_, first_timeline, WalSample::segment_size_bytes, clock_};
  Lsn end_ = wal_sample().start;
};

TEST_F(WalSmallTailsTest, EachIsThereAtOnce) {
  put(1000);
  EXPECT_EQ(tails_there(), 1U);
  expect_all_read();
  put(2000, WalMark{end_ + 2000, noon});
  EXPECT_EQ(tails_there(), 2U);
  expect_all_read();
  EXPECT_EQ(read()->mark.time, noon);
}

TEST_F(WalSmallTailsTest, ThousandsBecomeDozens) {
  for (int i = 0; i < 2000; ++i) {
    put(100 + static_cast<std::size_t>(i % 7));
    clock_.pass(std::chrono::seconds(1));
    if (i % 97 == 0) expect_all_read();
  }
  expect_all_read();
  // Seven of each of four levels, and what was retired within the last half minute.
  EXPECT_LE(tails_there(), 4 * 7 + 30U + WalSmallTails::put_together);
  clock_.pass(WalSmallTails::readable_for);
  put(100);
  EXPECT_LE(tails_there(), 4 * 7U + WalSmallTails::put_together);
  EXPECT_EQ(tails_.names().size(), tails_there());
}

TEST_F(WalSmallTailsTest, WhatWasJustListedCanStillBeRead) {
  for (std::size_t i = 0; i + 1 < WalSmallTails::put_together; ++i) put(100);
  const auto listed = *WalInventory::load(space_, WalSample::segment_size_bytes);
  put(100);
  const auto segment = read_wal_segment(space_, listed, first_timeline, wal_sample().start);
  ASSERT_TRUE(segment) << segment.error().describe();
  EXPECT_EQ(segment->bytes.size(), 100 * (WalSmallTails::put_together - 1));
  // Later on it is found again.
  clock_.pass(WalSmallTails::readable_for);
  put(100);
  const auto again = read_wal_segment(space_, listed, first_timeline, wal_sample().start);
  ASSERT_TRUE(again) << again.error().describe();
  EXPECT_TRUE(std::ranges::equal(again->bytes, sample_bytes(wal_sample().start, end_)));
}

TEST_F(WalSmallTailsTest, LargeOnesStayAsTheyAre) {
  constexpr std::size_t size = WalSmallTails::memory_bytes / 16;
  for (int i = 0; i < 15; ++i) put(size);
  expect_all_read();
}

TEST_F(WalSmallTailsTest, ADayOfSilenceIsAFewMarks) {
  Timestamp time = noon;
  put(1000);
  for (int i = 0; i < 8640; ++i) {
    time = time + std::chrono::seconds(10);
    clock_.pass(std::chrono::seconds(10));
    ASSERT_EQ(message_of(tails_.put(end_, {}, WalMark{end_, time})), "ok");
  }
  EXPECT_LE(tails_there(), 5 * 7U + 2 * WalSmallTails::put_together);
  EXPECT_EQ(read()->mark.time, time);
  std::size_t marks = 0;
  const auto inventory = *WalInventory::load(space_, WalSample::segment_size_bytes);
  for (const auto& tail : inventory.find(first_timeline, wal_sample().start)->tails) {
    marks += read_wal_tail(space_, tail.name)->marks.size();
  }
  EXPECT_LE(marks, tails_there()) << "of each position the last one alone";
  expect_all_read();
}

}  // namespace
}  // namespace pgstrata
