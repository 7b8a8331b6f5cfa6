// That nothing is said to be lost that never was there, or can still be restored.
#include "check/verify_test.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class LostCoverageTest : public VerifyTest {
 protected:
  // Each under the other's name.
  void exchange(const SnapshotRecord& one, const SnapshotRecord& other) {
    const Bytes first = must(cluster_.store.get(name_of(one)));
    overwrite(cluster_.store, name_of(one), must(cluster_.store.get(name_of(other))));
    overwrite(cluster_.store, name_of(other), first);
  }
};

TEST_F(LostCoverageTest, AFileThatBearsTheNameOfATimelineMakesNone) {
  const auto name = cluster_.space->object_name(wal_object_name(TimelineId{9}, segment_at(1), segment_bytes));
  ASSERT_TRUE(cluster_.store.put(name, as_byte_view("hello")));
  const auto report = verify();
  EXPECT_THAT(report.damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(report.lost, IsEmpty());
}

TEST_F(LostCoverageTest, OfATimelineWithoutItsHistoryOnlyWhatCanBeReadIsLost) {
  const TimelineId two{2};
  cluster_.seal(2, 3, two);
  const auto junk = cluster_.space->object_name(wal_object_name(two, segment_at(70), segment_bytes));
  ASSERT_TRUE(cluster_.store.put(junk, as_byte_view("hello")));
  const auto report = verify();
  EXPECT_THAT(report.damaged, UnorderedElementsAre(
                                  damaged(junk), damaged(cluster_.space->object_name("timelines/00000002"))));
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].timeline, two);
  EXPECT_EQ(report.lost[0].to_lsn, segment_at(3));
}

// Coverage counts what the old timeline has up to the fork under the new one.
TEST_F(LostCoverageTest, OfATimelineThatWasLeftOnlyWhatNothingElseCoversIsLost) {
  const TimelineId two{2};
  cluster_.fork(record_in(3, 30).start);
  cluster_.seal(3, 4, two);
  ASSERT_THAT(verify().lost, IsEmpty());
  remove(wal_name(0));
  const auto report = verify();
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].from_lsn, first_.consistent_lsn);
  EXPECT_EQ(report.lost[0].to_lsn, second_.consistent_lsn);
}

TEST_F(LostCoverageTest, AFileBehindTheEndOfTheWalIsNoMoreOfIt) {
  remove(name_of(second_));
  remove(wal_name(3));
  remove(wal_name(2));
  cluster_.tail(2, segment_bytes / 2);
  ASSERT_TRUE(cluster_.store.put(wal_name(3), as_byte_view("hello")));
  const auto report = verify();
  EXPECT_THAT(report.damaged, ElementsAre(damaged(wal_name(3))));
  EXPECT_THAT(report.missing_wal, IsEmpty());
  EXPECT_THAT(report.lost, IsEmpty());
}

TEST_F(LostCoverageTest, OfExchangedSnapshotsNothingIsLostThatAnotherLeadsTo) {
  // Begun after the last commit, as one of a cluster in which little happens.
  auto late = second_;
  late.id = "20261121-235959-0000";
  ASSERT_TRUE(put_snapshot(*cluster_.space, late));
  exchange(second_, late);
  const auto report = verify();
  EXPECT_THAT(report.damaged, UnorderedElementsAre(damaged(name_of(second_)), damaged(name_of(late))));
  EXPECT_THAT(report.lost, IsEmpty());
}

// The newest timeline, and the end, of what can be read.
TEST_F(LostCoverageTest, ExchangedSnapshotsCostWhatFollowedTheFirst) {
  const auto junk = cluster_.space->object_name(wal_object_name(TimelineId{9}, segment_at(1), segment_bytes));
  ASSERT_TRUE(cluster_.store.put(junk, as_byte_view("hello")));
  remove(wal_name(3));
  cluster_.tail(3, segment_bytes - 8192);
  exchange(first_, second_);
  const auto report = verify();
  EXPECT_THAT(report.damaged,
              UnorderedElementsAre(damaged(junk), damaged(name_of(first_)), damaged(name_of(second_))));
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].timeline, TimelineId{1});
  EXPECT_EQ(report.lost[0].to_lsn, segment_at(3) + (segment_bytes - 8192));
}

}  // namespace
}  // namespace pgstrata::testing
