// What a range says it reaches to, where commits bear stamps that the source's clock never showed.
#include "capture/wal_sink_test.h"
#include "catalog/coverage.h"

namespace pgstrata {
namespace {

class WalClockTest : public WalSinkTest {
 protected:
  WalClockTest() {
    SnapshotRecord record;
    record.id = "20261121-100001-0000";
    record.timeline = first_timeline;
    record.start_lsn = wal_sample().start + 40;
    record.consistent_lsn = wal_sample().start + 4000;
    record.consistent_time = {1};
    EXPECT_TRUE(put_snapshot(space_, record));
  }

  void receive(Lsn to, Timestamp sent, const std::optional<WalMark>& mark = {}) {
    auto sink = open(space_);
    ASSERT_TRUE(sink) << sink.error().describe();
    const Lsn from = (*sink)->received();
    ASSERT_TRUE((*sink)->accept(from, sample_bytes(from, to), sent));
    ASSERT_TRUE((*sink)->flush(mark));
    ASSERT_TRUE((*sink)->finish(std::nullopt));
  }

  CoverageRange range() {
    return compute_coverage(space_, WalSample::segment_size_bytes, Cancellation()).value().ranges.at(0);
  }

  ClusterSpace space_ = space_over(store_);
  // All commits of the sample lie a year after it: they are from the future.
  const Timestamp sent_{1'795'255'200'000'000 - std::int64_t{365} * 86'400 * 1'000'000};
};

TEST_F(WalClockTest, AStampFromTheFutureIsFoundAndPromisesNothing) {
  receive(wal_sample().end(), sent_);
  EXPECT_EQ(range().to_time, sent_ + believed_ahead);
  EXPECT_EQ(range().source_time, sent_);
  EXPECT_GT(range().last_commit, sent_ + believed_ahead) << "where a search by time must look";
}

TEST_F(WalClockTest, NorDoesOneInATail) {
  const Lsn end = wal_sample().start + 3 * WalSample::segment_size_bytes + 900'000;
  receive(end, sent_);
  EXPECT_EQ(range().source_time, sent_) << "of the segment before";
  EXPECT_LE(range().to_time, sent_ + std::chrono::minutes(1));
  const auto later = sent_ + std::chrono::minutes(5);
  receive(end + 8, later, WalMark{end + 8, later});
  EXPECT_EQ(range().source_time, later);
  EXPECT_GE(range().to_time, later);
  EXPECT_LE(range().to_time, later + std::chrono::minutes(1));
}

// What was committed by the time before stays restorable by it; how old the newest is goes by the time now.
TEST_F(WalClockTest, AClockThatStepsBackTakesNothingAway) {
  const auto before = sent_ + std::chrono::hours(2);
  receive(wal_sample().start + WalSample::segment_size_bytes, before);
  EXPECT_EQ(range().to_time, before + believed_ahead);
  receive(wal_sample().start + 2 * WalSample::segment_size_bytes, sent_);
  EXPECT_EQ(range().to_time, before + believed_ahead);
  EXPECT_EQ(range().source_time, sent_);
}

}  // namespace
}  // namespace pgstrata
