// WAL that is damaged on its source: how far it can be used is known from what is stored.
#include "capture/wal_sink_test.h"
#include "catalog/coverage.h"
#include "pg/format/wal_page.h"

namespace pgstrata {
namespace {

class WalBreakTest : public WalSinkTest {
 protected:
  static Lsn segment(std::size_t index) { return wal_sample().start + index * WalSample::segment_size_bytes; }

  // A page header that is none, usually in the middle of the segment: recovery ends somewhere before it.
  void damage(std::size_t index, std::size_t offset = WalSample::segment_size_bytes / 2) {
    const auto at = index * WalSample::segment_size_bytes + offset;
    for (std::size_t i = 0; i < 16; ++i) source_[at + i] ^= std::byte{0xFF};
  }

  void receive(Lsn to) {
    auto sink = open(space_);
    ASSERT_TRUE(sink) << sink.error().describe();
    while ((*sink)->received() < to) {
      const Lsn from = (*sink)->received();
      const auto count = std::min<std::uint64_t>(100'000, to - from);
      ASSERT_TRUE((*sink)->accept(from, ByteView(source_).subspan(from - wal_sample().start, count)));
    }
    ASSERT_TRUE((*sink)->finish(std::nullopt));
  }

  void snapshot(std::string id, Lsn start) {
    SnapshotRecord record;
    record.id = std::move(id);
    record.timeline = first_timeline;
    record.start_lsn = start + 40;
    record.consistent_lsn = start + 4000;
    record.consistent_time = {1};
    ASSERT_TRUE(put_snapshot(space_, record));
  }

  Coverage coverage() {
    return compute_coverage(space_, WalSample::segment_size_bytes, Cancellation()).value();
  }

  ClusterSpace space_ = space_over(store_);
  Bytes source_ = wal_sample().bytes;
};

TEST_F(WalBreakTest, EndsARangeAndABaseBackupBehindItBeginsAnother) {
  damage(1);
  snapshot("20261121-100001-0000", segment(0));
  receive(segment(1));
  EXPECT_TRUE(coverage().ranges.at(0).open_ended);
  receive(wal_sample().end());

  auto found = coverage();
  ASSERT_EQ(found.ranges.size(), 1U);
  EXPECT_GT(found.ranges[0].to_lsn, segment(0)) << "what came before it is sound";
  EXPECT_LE(found.ranges[0].to_lsn, segment(1) + WalSample::segment_size_bytes / 2);
  EXPECT_FALSE(found.ranges[0].open_ended);
  ASSERT_EQ(found.damaged_wal.size(), 1U);
  EXPECT_EQ(found.damaged_wal[0].from, found.ranges[0].to_lsn);
  EXPECT_EQ(found.damaged_wal[0].error.describe(), "the source's own WAL is damaged there");

  snapshot("20261121-100002-0000", segment(1));  // begins before the damage ends
  EXPECT_EQ(coverage().ranges.size(), 1U);
  snapshot("20261121-100003-0000", segment(2));
  found = coverage();
  ASSERT_EQ(found.ranges.size(), 2U);
  EXPECT_FALSE(found.ranges[0].open_ended);
  EXPECT_TRUE(found.ranges[1].open_ended);
  EXPECT_EQ(found.ranges[1].snapshots, std::vector<std::string>{"20261121-100003-0000"});
}

// No record ends in the second segment, so between the two places there is nothing to restore.
TEST_F(WalBreakTest, EachOfSeveralIsKnownAlsoAcrossARestart) {
  damage(0, wal_page_size);
  damage(2);
  snapshot("20261121-100001-0000", segment(0));
  snapshot("20261121-100002-0000", segment(1));
  snapshot("20261121-100003-0000", segment(3));
  receive(segment(1) + 5000);
  receive(segment(2) + 600'000);
  receive(segment(3) + 300'000);
  const auto found = coverage();
  ASSERT_EQ(found.ranges.size(), 2U);
  EXPECT_LE(found.ranges[0].to_lsn, segment(0) + wal_page_size);
  EXPECT_EQ(found.ranges[0].snapshots, std::vector<std::string>{"20261121-100001-0000"});
  EXPECT_EQ(found.ranges[1].snapshots, std::vector<std::string>{"20261121-100003-0000"});
  EXPECT_TRUE(found.ranges[1].open_ended);
  ASSERT_EQ(found.damaged_wal.size(), 2U);
  EXPECT_EQ(found.damaged_wal[0].from, found.ranges[0].to_lsn);
  EXPECT_EQ(found.damaged_wal[1].from, segment(1));
}

}  // namespace
}  // namespace pgstrata
