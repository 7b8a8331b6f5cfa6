// What repair does about WAL: what can be read of it stays, and a stream that is at work is not disturbed.
#include "check/repair_test.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(RepairTest, WalInTheMiddleGoesAndTheGapIsHealedByTheSnapshotBehindIt) {
  flip(wal_name(1));
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(wal_name(1))));
  EXPECT_THAT(report.lost_snapshots, IsEmpty());
  ASSERT_THAT(report.lost, SizeIs(1));
  ASSERT_THAT(report.missing_wal, SizeIs(1));
  EXPECT_EQ(report.missing_wal[0].healed_by, second_.id);
  EXPECT_TRUE(report.sound());
}

TEST_F(RepairTest, WalThatNoSnapshotLiesBehindIsStillMissingAfterwards) {
  remove(name_of(second_));
  flip(wal_name(1));
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(wal_name(1))));
  ASSERT_THAT(report.missing_wal, SizeIs(1));
  EXPECT_TRUE(report.missing_wal[0].healed_by.empty());
  EXPECT_FALSE(report.sound());
}

TEST_F(RepairTest, WalThatAStreamMayBeAtWorkOnStays) {
  flip(wal_name(3));
  const auto report = repair({.stream_at_work = true});
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.lost_snapshots, IsEmpty()) << "the stream may receive it again";
  EXPECT_THAT(report.kept, ElementsAre(kept(wal_name(3))));
  EXPECT_TRUE(there(name_of(second_)));
  const auto alone = repair();
  EXPECT_THAT(alone.dropped, ElementsAre(dropped(name_of(second_)), dropped(wal_name(3))));
  EXPECT_TRUE(alone.sound());
}

TEST_F(RepairTest, ASnapshotStaysThatNeedsOnlyTheBeginningOfADamagedTail) {
  remove(wal_name(3));
  write_tail_in_frames({});
  const auto name = tail_name();
  const auto sound = objects_of(cluster_.store);
  const std::size_t needed = second_.consistent_lsn - segment_at(3);
  flip_at(name, needed + 2 * frame);
  EXPECT_THAT(verify().damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(verify().damaged[0].snapshots, IsEmpty());
  const auto kept_whole = repair();
  EXPECT_THAT(kept_whole.lost_snapshots, IsEmpty());
  EXPECT_THAT(kept_whole.dropped, ElementsAre(dropped(name)));
  EXPECT_TRUE(kept_whole.sound());

  put_back(cluster_.store, sound);
  flip_at(name, needed / 2);
  EXPECT_THAT(verify().damaged[0].snapshots, ElementsAre(second_.id));
  EXPECT_THAT(ids_of(repair({.stream_at_work = true}).lost_snapshots), IsEmpty());
  const auto report = repair();
  EXPECT_THAT(ids_of(report.lost_snapshots), ElementsAre(second_.id));
  EXPECT_TRUE(report.sound());
  EXPECT_TRUE(verify().sound());
}

// Damaged amid its records.
TEST_F(RepairTest, WhatCanBeReadOfADamagedTailIsWrittenAnew) {
  remove(name_of(second_));
  remove(wal_name(3));
  const Timestamp marked = first_.consistent_time + std::chrono::hours(1);
  write_tail_in_frames(marked);
  const auto name = tail_name();
  const Lsn last_record = sample_records().all.back().start;
  ASSERT_GT(last_record, segment_at(3) + 4 * frame);
  flip_at(name, (last_record - segment_at(3)) / 2);
  const auto damaged = objects_of(cluster_.store);
  EXPECT_FALSE(verify().sound());
  EXPECT_THAT(repair({.stream_at_work = true}).kept, ElementsAre(kept(name)));
  EXPECT_EQ(objects_of(cluster_.store), damaged);
  const auto whole_to = repair({.dry_run = true}).rewritten_wal.at(0).to_lsn;
  EXPECT_GT(whole_to, segment_at(3) + frame);
  EXPECT_LT(whole_to, last_record);

  const auto expect_good = [&] {
    EXPECT_FALSE(there(name));
    EXPECT_TRUE(verify().sound());
    const auto inventory = must(WalInventory::load(*cluster_.space, segment_bytes));
    const auto content = must(read_wal_segment(*cluster_.space, inventory, TimelineId{1}, segment_at(3)));
    EXPECT_EQ(content.start + content.bytes.size(), whole_to);
    EXPECT_TRUE(std::ranges::equal(content.bytes, SampleCluster::segment(3).first(content.bytes.size())));
    EXPECT_EQ(content.mark.time, marked);
    EXPECT_EQ(content.durable_to, whole_to);
    // Beside it at most one that a crash left empty.
    EXPECT_LE(inventory.find(TimelineId{1}, segment_at(3))->tails.size(), 2U);
  };
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name)));
  EXPECT_THAT(report.kept, IsEmpty());
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_GT(report.lost[0].from_lsn, segment_at(3));
  EXPECT_LE(report.lost[0].from_lsn, whole_to);
  EXPECT_EQ(report.lost[0].to_lsn, segment_at(4));
  expect_good();

  for (std::uint64_t step = 1;; ++step) {
    put_back(cluster_.store, damaged);
    FaultStore faulty(cluster_.store, step);
    faulty.set_fault({.kind = Fault::Kind::crash, .at_step = step});
    (void)repair_in(faulty);
    SCOPED_TRACE(faulty.last_fault());
    if (names_of(cluster_.store) != names_in(damaged)) {
      repair();
      expect_good();
    }
    if (faulty.last_fault().empty() || HasFailure()) break;
  }
}

TEST_F(RepairTest, ATailOfWhichNothingCanBeReadGoesUnlessAStreamIsAtWork) {
  remove(name_of(second_));
  remove(wal_name(3));
  cluster_.tail(3, segment_bytes / 2);
  const auto name = tail_name();
  flip_at(name, 0);
  EXPECT_THAT(repair({.stream_at_work = true}).dropped, IsEmpty());
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name)));
  EXPECT_THAT(report.rewritten_wal, IsEmpty());
  EXPECT_TRUE(verify().sound());
}

}  // namespace
}  // namespace pgstrata::testing
