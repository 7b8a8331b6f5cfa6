#include "base/sanitized.h"
#include "restore/restore_test_support.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;
using testing::must;
using testing::sample_records;
using testing::SampleCluster;

class RecoveryPlanTest : public ::testing::Test {
 protected:
  // All segments but the last sealed, that one still a tail; a snapshot at the very beginning.
  RecoveryPlanTest() {
    cluster_.seal(0, SampleCluster::segment_count() - 1);
    cluster_.tail(SampleCluster::segment_count() - 1, tail_bytes(), complete_until());
    first_ = cluster_.snapshot(records()[0], records()[0]);
    // Before the first transaction: nothing in the WAL tells its time.
  }
  static const std::vector<RecordFacts>& records() { return sample_records().all; }
  static const std::vector<RecordFacts>& transactions() { return sample_records().transactions; }
  static std::size_t tail_bytes() {
    return sample_records().end -
           (testing::wal_sample().start + (SampleCluster::segment_count() - 1) * testing::segment_bytes);
  }
  static Timestamp last_time() {
    Timestamp last;
    for (const auto& end : transactions()) last = std::max(last, end.transaction->time);
    return last;
  }
  static Timestamp complete_until() { return last_time() + std::chrono::seconds(30); }
  // By a plain reading of PostgreSQL's rule.
  static const RecordFacts* first_stop(Timestamp time, bool inclusive) {
    for (const auto& end : transactions()) {
      const auto at = end.transaction->time;
      if (inclusive ? at > time : at >= time) return &end;
    }
    return nullptr;
  }
  // Halfway, one byte of its record changed.
  SnapshotRecord damaged_second_snapshot() {
    const auto middle = records().size() / 2;
    auto second = cluster_.snapshot(records()[middle], records()[middle]);
    const auto name = cluster_.space->object_name("snapshots/" + second.id);
    auto stored = must(cluster_.store.get(name));
    stored.back() ^= std::byte{1};
    overwrite(cluster_.store, name, stored);
    return second;
  }

  SampleCluster cluster_;
  SnapshotRecord first_;
};

TEST_F(RecoveryPlanTest, LatestIsAllThereIsAndNoTarget) {
  const auto plan = must(cluster_.plan(LatestTarget{}));
  EXPECT_FALSE(plan.stop.has_value());
  EXPECT_EQ(plan.end_lsn, sample_records().end);
  EXPECT_EQ(plan.expected_end_lsn, sample_records().end);
  EXPECT_EQ(plan.segments.size(), SampleCluster::segment_count());
  EXPECT_EQ(plan.timeline, TimelineId{1});
  EXPECT_TRUE(plan.warnings.empty());
}

TEST_F(RecoveryPlanTest, EveryTimeStopsAtTheFirstTransactionAfterIt) {
  for (const auto& end : transactions()) {
    for (const bool inclusive : {true, false}) {
      const auto time = end.transaction->time;
      const auto* expected = first_stop(time, inclusive);
      const auto plan = must(cluster_.plan(TimeTarget{time}, inclusive));
      ASSERT_EQ(plan.stop.has_value(), expected != nullptr) << to_rfc3339(time) << inclusive;
      if (expected == nullptr) {
        EXPECT_EQ(plan.end_lsn, sample_records().end);
        continue;
      }
      EXPECT_EQ(std::get<TimeTarget>(*plan.stop).time, time);
      EXPECT_EQ(plan.expected_end_lsn, expected->start);
      EXPECT_EQ(plan.end_lsn, expected->end);
      EXPECT_GE(plan.segments.back().start + testing::segment_bytes, plan.end_lsn);
      EXPECT_LT(plan.segments.back().start, plan.end_lsn);
    }
  }
}

TEST_F(RecoveryPlanTest, AQuietTimeIsTheEndOfTheWal) {
  const auto plan = must(cluster_.plan(TimeTarget{complete_until()}));
  EXPECT_FALSE(plan.stop.has_value());
  EXPECT_EQ(plan.end_lsn, sample_records().end);
  EXPECT_EQ(plan.last_commit, last_time());
}

TEST_F(RecoveryPlanTest, ATimeBeyondCoverageIsRefusedWithTheNearestMoment) {
  const auto plan = cluster_.plan(TimeTarget{complete_until() + std::chrono::microseconds(1)});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), ErrorCode::outside_coverage);
  EXPECT_THAT(plan.error().hint(), HasSubstr(to_display(complete_until())));
  EXPECT_THAT(plan.error().hint(), HasSubstr(to_string(sample_records().end)));
}

TEST_F(RecoveryPlanTest, AMomentInAGapNamesBothSides) {
  SampleCluster cluster;
  const auto segments = SampleCluster::segment_count();
  cluster.seal(0, 1);
  cluster.seal(2, segments);
  const auto after_gap = testing::wal_sample().start + 2 * testing::segment_bytes;
  const auto late =
      std::ranges::find_if(records(), [&](const auto& record) { return record.start > after_gap; });
  cluster.snapshot(records()[0], records()[0]);
  const auto second = cluster.snapshot(*late, *(late + 3));
  const auto plan = cluster.plan(LsnTarget{after_gap});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), ErrorCode::outside_coverage);
  EXPECT_THAT(plan.error().hint(), HasSubstr("before"));
  EXPECT_THAT(plan.error().hint(), HasSubstr(to_string(second.consistent_lsn)));
}

TEST_F(RecoveryPlanTest, LsnsStopAtTheFirstRecordFromThereOn) {
  for (std::size_t index = 1; index < records().size(); index += sanitized ? 389 : 97) {
    const auto& record = records()[index];
    const auto with = must(cluster_.plan(LsnTarget{record.start}));
    EXPECT_EQ(with.expected_end_lsn, record.end);
    const auto without = must(cluster_.plan(LsnTarget{record.start}, false));
    EXPECT_EQ(without.expected_end_lsn, record.start);
    EXPECT_EQ(without.end_lsn, record.end);
  }
  EXPECT_FALSE(must(cluster_.plan(LsnTarget{sample_records().end})).stop.has_value());
  EXPECT_EQ(code_of(cluster_.plan(LsnTarget{sample_records().end + 1})), "outside_coverage");
  EXPECT_EQ(code_of(cluster_.plan(LsnTarget{Lsn{first_.consistent_lsn.value - 1}})), "outside_coverage");
}

TEST_F(RecoveryPlanTest, EveryTransactionIsFoundByItsNumber) {
  std::size_t number = 0;
  for (const auto& end : transactions()) {
    if (end.start < first_.consistent_lsn || ++number % (sanitized ? 4 : 1) != 0) continue;
    const auto plan = must(cluster_.plan(XidTarget{end.transaction->xid}));
    EXPECT_EQ(plan.expected_end_lsn, end.end) << end.transaction->xid.value;
    EXPECT_EQ(must(cluster_.plan(XidTarget{end.transaction->xid}, false)).expected_end_lsn, end.start);
  }
  EXPECT_EQ(code_of(cluster_.plan(XidTarget{Xid{4'000'000'000U}})), "outside_coverage");
}

// The WAL to look into may be all of a large repository's.
TEST_F(RecoveryPlanTest, AStopEndsTheSearch) {
  const auto coverage =
      must(compute_coverage(*cluster_.space, testing::segment_bytes, cluster_.cancellation));
  cluster_.cancellation.request();
  const auto search = [&](TargetPoint point) {
    return plan_recovery(*cluster_.space, testing::segment_bytes, coverage,
                         {.point = std::move(point), .inclusive = true, .timeline = {}},
                         cluster_.cancellation);
  };
  for (const auto& point : std::vector<TargetPoint>{XidTarget{transactions().back().transaction->xid},
                                                    TimeTarget{transactions().front().transaction->time},
                                                    LsnTarget{records().back().start}}) {
    const auto plan = search(point);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code(), ErrorCode::cancelled);
  }
  EXPECT_EQ(compute_coverage(*cluster_.space, testing::segment_bytes, cluster_.cancellation).error().code(),
            ErrorCode::cancelled);
}

TEST_F(RecoveryPlanTest, RestorePointsAreFoundByName) {
  const auto point =
      std::ranges::find_if(records(), [](const auto& record) { return record.restore_point.has_value(); });
  ASSERT_NE(point, records().end());
  const auto plan = must(cluster_.plan(RestorePointTarget{*point->restore_point}));
  EXPECT_EQ(plan.expected_end_lsn, point->end);
  EXPECT_TRUE(std::holds_alternative<RestorePointTarget>(*plan.stop));
  EXPECT_EQ(code_of(cluster_.plan(RestorePointTarget{"no such"})), "outside_coverage");
}

TEST_F(RecoveryPlanTest, TakesTheNewestSnapshotThatIsConsistentBeforeTheTarget) {
  const auto middle = records().size() / 2;
  const auto second = cluster_.snapshot(records()[middle], records()[middle + 50]);
  EXPECT_EQ(must(cluster_.plan(LatestTarget{})).snapshot.id, second.id);
  EXPECT_EQ(must(cluster_.plan(LsnTarget{second.consistent_lsn})).snapshot.id, second.id);
  // Between its start and its consistent point only the older one serves.
  EXPECT_EQ(must(cluster_.plan(LsnTarget{records()[middle + 20].start})).snapshot.id, first_.id);
  for (const auto& end : transactions()) {
    if (end.start < first_.consistent_lsn) continue;
    const auto plan = must(cluster_.plan(XidTarget{end.transaction->xid}));
    EXPECT_EQ(plan.expected_end_lsn, end.end);
    EXPECT_EQ(plan.snapshot.id, end.end < second.consistent_lsn ? first_.id : second.id);
  }
}

TEST_F(RecoveryPlanTest, ADamagedSnapshotIsPassedOverWithAWarning) {
  const auto second = damaged_second_snapshot();
  const auto plan = must(cluster_.plan(LatestTarget{}));
  EXPECT_EQ(plan.snapshot.id, first_.id);
  ASSERT_FALSE(plan.warnings.empty());
  EXPECT_THAT(plan.warnings.front(), HasSubstr(second.id));
}

TEST_F(RecoveryPlanTest, ASnapshotWithoutAPackIsPassedOver) {
  ASSERT_TRUE(cluster_.store.remove(cluster_.space->object_name(pack_name(first_.packs.front()))));
  EXPECT_EQ(code_of(cluster_.plan(LatestTarget{})), "damaged") << "there is no other";
  const auto middle = records().size() / 2;
  const auto second = cluster_.snapshot(records()[middle], records()[middle]);
  const auto plan = must(cluster_.plan(LatestTarget{}));
  EXPECT_EQ(plan.snapshot.id, second.id);
  ASSERT_FALSE(plan.warnings.empty());
  EXPECT_THAT(plan.warnings.front(), HasSubstr(first_.id));
}

TEST_F(RecoveryPlanTest, LatestSaysThatDamageCutsItShort) {
  const auto all = must(cluster_.plan(LatestTarget{}));
  EXPECT_FALSE(all.cut_short);
  // Of what is damaged at the very end nobody can tell that it is not a crash's; of a sealed segment one can.
  const auto name = cluster_.space->object_name(
      wal_object_name({1}, all.segments[all.segments.size() - 2].start, testing::segment_bytes));
  auto stored = must(cluster_.store.get(name));
  stored[stored.size() - 30] ^= std::byte{1};
  overwrite(cluster_.store, name, stored);
  const auto plan = must(cluster_.plan(LatestTarget{}));
  EXPECT_TRUE(plan.cut_short);
  EXPECT_LT(plan.end_lsn, all.end_lsn);
  ASSERT_FALSE(plan.warnings.empty());
  EXPECT_THAT(plan.warnings.front(), HasSubstr("is damaged and is not restored"));
  const auto earlier = must(cluster_.plan(LsnTarget{records()[records().size() / 2].start}));
  EXPECT_FALSE(earlier.cut_short) << "it lies before the damage";
}

// Coverage does not read what lies in the middle: before anything is restored all of it is.
TEST_F(RecoveryPlanTest, DamageOnTheWayIsFoundBeforeAnythingIsRestored) {
  SampleCluster cluster;
  cluster.seal(0, SampleCluster::segment_count());
  cluster.snapshot(records()[0], records()[0]);
  ClusterRecord record;
  record.wal_segment_bytes = testing::segment_bytes;
  const auto plan = [&](TargetPoint point) {
    return plan_sound_recovery(*cluster.space, record,
                               {.point = std::move(point), .inclusive = true, .timeline = {}},
                               cluster.cancellation);
  };
  const LsnTarget last{records().back().start};
  EXPECT_FALSE(must(plan(LatestTarget{})).cut_short);
  must(plan(last));
  const Lsn damaged = testing::wal_sample().start + testing::segment_bytes;
  const auto name = cluster.space->object_name(wal_object_name({1}, damaged, testing::segment_bytes));
  auto stored = must(cluster.store.get(name));
  stored[stored.size() / 2] ^= std::byte{1};
  overwrite(cluster.store, name, stored);

  const auto latest = must(plan(LatestTarget{}));
  EXPECT_TRUE(latest.cut_short);
  EXPECT_LE(latest.end_lsn, damaged);
  EXPECT_EQ(code_of(plan(last)), "damaged");
  must(plan(LsnTarget{records()[20].start}));  // it lies before
}

TEST_F(RecoveryPlanTest, LatestSaysThatMissingWalCutsItShort) {
  const auto all = must(cluster_.plan(LatestTarget{}));
  const auto name = wal_object_name({1}, all.segments[all.segments.size() - 2].start, testing::segment_bytes);
  ASSERT_TRUE(cluster_.store.remove(cluster_.space->object_name(name)));
  const auto plan = must(cluster_.plan(LatestTarget{}));
  EXPECT_TRUE(plan.cut_short);
  EXPECT_LT(plan.end_lsn, all.end_lsn);
  EXPECT_THAT(plan.warnings, ::testing::ElementsAre(HasSubstr("some before it is missing")));
}

TEST_F(RecoveryPlanTest, ARefusalSaysWhatItRefusesBesideWhatIsDamaged) {
  const auto second = damaged_second_snapshot();
  const auto plan = cluster_.plan(LsnTarget{Lsn{0xFF00000000}});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), ErrorCode::outside_coverage);
  EXPECT_THAT(plan.error().describe(), ::testing::AllOf(HasSubstr(second.id), HasSubstr("FF/0")));
  EXPECT_FALSE(plan.error().hint().empty());
}

TEST_F(RecoveryPlanTest, ANewerTimelineThatIsPassedOverIsSaid) {
  const auto name =
      cluster_.space->object_name(wal_object_name({7}, sample_records().end, testing::segment_bytes));
  ASSERT_TRUE(cluster_.store.put(name, as_byte_view("junk")));
  const auto plan = must(cluster_.plan(LatestTarget{}));
  EXPECT_EQ(plan.timeline, TimelineId{1});
  EXPECT_THAT(plan.warnings, ::testing::ElementsAre(HasSubstr("timeline 7 is passed over")));
}

TEST_F(RecoveryPlanTest, WithoutASnapshotNothingCanBeRestored) {
  SampleCluster cluster;
  cluster.seal(0, 2);
  const auto plan = cluster.plan(LatestTarget{});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), ErrorCode::outside_coverage);
  EXPECT_THAT(plan.error().hint(), HasSubstr("backup"));
}

TEST_F(RecoveryPlanTest, AnUnknownTimelineIsOutsideCoverage) {
  EXPECT_EQ(code_of(cluster_.plan(LatestTarget{}, true, TimelineId{7})), "outside_coverage");
}

TEST_F(RecoveryPlanTest, FollowsThePromotionAndListsTheNewTimelinesSegments) {
  SampleCluster cluster;
  cluster.seal(0, 3);
  const auto fork =
      records()[records().size() / 2];  // lies in some segment; timeline 2 has that one and the rest
  const auto fork_segment = (fork.start - testing::wal_sample().start) / testing::segment_bytes;
  cluster.fork(fork.start);
  cluster.seal(fork_segment, SampleCluster::segment_count(), TimelineId{2});
  cluster.snapshot(records()[0], records()[0]);
  const auto plan = must(cluster.plan(LatestTarget{}));
  EXPECT_EQ(plan.timeline, TimelineId{2});
  EXPECT_EQ(plan.histories, (std::vector{TimelineId{2}}));
  for (const auto& segment : plan.segments) {
    const auto number = (segment.start - testing::wal_sample().start) / testing::segment_bytes;
    EXPECT_EQ(segment.timeline, TimelineId{number < fork_segment ? 1U : 2U});
  }
  // A moment before the promotion is on both; asked for on the old one, recovery stays there.
  const auto shared = must(cluster.plan(LsnTarget{records()[20].start}, true, TimelineId{1}));
  EXPECT_EQ(shared.timeline, TimelineId{1});
  for (const auto& segment : shared.segments) EXPECT_EQ(segment.timeline, TimelineId{1});
  // Also when nobody asked for it: the history of what comes after must rise.
  const auto before = must(cluster.plan(LsnTarget{records()[20].start}));
  EXPECT_EQ(before.timeline, TimelineId{1});
  // Its own latest moment is where its own WAL ends, not where coverage lists it.
  const auto latest = must(cluster.plan(LatestTarget{}, true, TimelineId{1}));
  EXPECT_EQ(latest.timeline, TimelineId{1});
  EXPECT_GT(latest.expected_end_lsn, fork.start);
}

TEST_F(RecoveryPlanTest, TheForksSegmentIsTakenFromTheTimelineThatIsAskedFor) {
  SampleCluster cluster;
  const auto fork = records()[records().size() / 2];
  const auto fork_segment = (fork.start - testing::wal_sample().start) / testing::segment_bytes;
  cluster.seal(0, fork_segment + 1);
  cluster.fork(fork.start);
  cluster.seal(fork_segment, SampleCluster::segment_count(), TimelineId{2});
  cluster.snapshot(records()[0], records()[0]);
  const auto last_before = records()[records().size() / 2 - 1];
  const auto plan = must(cluster.plan(LsnTarget{last_before.start}, true, TimelineId{1}));
  EXPECT_EQ(plan.timeline, TimelineId{1});
  EXPECT_EQ(plan.segments.size(), fork_segment + 1);
  for (const auto& segment : plan.segments) EXPECT_EQ(segment.timeline, TimelineId{1});
}

TEST_F(RecoveryPlanTest, ATransactionOfAnotherTimelineIsPointedTo) {
  SampleCluster cluster;
  cluster.seal(0, SampleCluster::segment_count());
  const auto fork = records()[records().size() / 4];
  const auto fork_segment = (fork.start - testing::wal_sample().start) / testing::segment_bytes;
  cluster.fork(fork.start);
  cluster.seal(fork_segment, fork_segment + 1, TimelineId{2});
  cluster.snapshot(records()[0], records()[0]);
  const XidTarget last{transactions().back().transaction->xid};
  const auto plan = cluster.plan(last);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), ErrorCode::outside_coverage);
  EXPECT_EQ(plan.error().hint(), "Timeline 1 has it: use --timeline 1.");
  EXPECT_TRUE(cluster.plan(last, true, TimelineId{1}));
}

TEST_F(RecoveryPlanTest, APositionThatALeftTimelineHasAsWellIsWarnedOf) {
  SampleCluster cluster;
  cluster.seal(0, SampleCluster::segment_count());
  const auto& fork = records()[records().size() / 4];
  const auto& behind = records()[records().size() / 4 + 1];
  const auto fork_segment = (fork.start - testing::wal_sample().start) / testing::segment_bytes;
  cluster.fork(fork.start);
  cluster.seal(fork_segment, fork_segment + 1, TimelineId{2});
  cluster.snapshot(records()[0], records()[0]);
  EXPECT_THAT(must(cluster.plan(LsnTarget{behind.start})).warnings,
              ::testing::ElementsAre(HasSubstr("add --timeline 1 if that is meant")));
  EXPECT_THAT(must(cluster.plan(LsnTarget{behind.start}, true, TimelineId{2})).warnings,
              ::testing::IsEmpty());
  EXPECT_THAT(must(cluster.plan(LsnTarget{records()[20].start})).warnings, ::testing::IsEmpty());
}

TEST_F(RecoveryPlanTest, ATimelineWithoutItsHistoryIsRefused) {
  SampleCluster cluster;
  cluster.seal(0, SampleCluster::segment_count(), TimelineId{2});
  cluster.snapshot(records()[0], records()[0], {}, {}, TimelineId{2});
  EXPECT_EQ(code_of(cluster.plan(LatestTarget{})), "not_found");
}

// The new primary has only the WAL after the fork's segment; the old one went on to the end of that segment.
TEST_F(RecoveryPlanTest, WhatTheOldTimelineWroteBehindTheForkIsNotOnTheNewOnesWay) {
  SampleCluster cluster;
  const auto fork = records()[records().size() / 2];
  const auto fork_segment = (fork.start - testing::wal_sample().start) / testing::segment_bytes;
  const Lsn next_segment = testing::wal_sample().start + (fork_segment + 1) * testing::segment_bytes;
  cluster.seal(0, fork_segment + 1);
  cluster.fork(fork.start);
  cluster.seal(fork_segment + 1, SampleCluster::segment_count(), TimelineId{2});
  cluster.snapshot(records()[0], records()[0]);
  const auto later =
      std::ranges::find_if(records(), [&](const auto& record) { return record.start > next_segment; });
  cluster.snapshot(*later, *(later + 3), {}, {}, TimelineId{2});

  const auto behind = records()[records().size() / 2 + 1];
  ASSERT_LT(behind.end, next_segment);
  EXPECT_EQ(code_of(cluster.plan(LsnTarget{behind.start})), "outside_coverage");
  EXPECT_EQ(must(cluster.plan(LsnTarget{behind.start}, true, TimelineId{1})).expected_end_lsn, behind.end);
  const auto covered = must(compute_coverage(*cluster.space, testing::segment_bytes, cluster.cancellation));
  ASSERT_EQ(covered.ranges.size(), 3U);
  EXPECT_EQ(covered.ranges[0].timeline, TimelineId{1});
  EXPECT_EQ(covered.ranges[0].to_lsn, fork.start);
  EXPECT_FALSE(covered.ranges[0].open_ended);
  Timestamp last_before;
  for (const auto& end : transactions()) {
    if (end.end <= fork.start) last_before = std::max(last_before, end.transaction->time);
  }
  EXPECT_EQ(covered.ranges[0].to_time, last_before);
  EXPECT_EQ(covered.ranges[1].timeline, TimelineId{2});
  EXPECT_EQ(covered.ranges[2].timeline, TimelineId{1}) << "what it wrote behind the fork can still be had";
}

}  // namespace
}  // namespace pgstrata
