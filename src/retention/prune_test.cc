// What a prune keeps and what it lets go.
#include "retention/prune.h"

#include "base/sanitized.h"
#include "retention/retention_test_support.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(PruneTest, WithoutAPolicyOnlyOldStraysGo) {
  cluster_.live(3, hours(1));
  const PackId old = cluster_.stray_pack();
  cluster_.clock.pass(hours(25));
  const PackId young = cluster_.stray_pack();
  const auto report = cluster_.prune({});
  EXPECT_THAT(report.plan.packs, ElementsAre(old));
  EXPECT_EQ(report.plan.stray_packs, 1U);
  EXPECT_EQ(report.removed_objects, 1U);
  EXPECT_GT(report.removed_bytes, 500U);
  EXPECT_TRUE(cluster_.space.store().stat(cluster_.space.object_name(pack_name(young))));
  EXPECT_EQ(cluster_.snapshot_ids().size(), 3U);
  EXPECT_EQ(cluster_.segment_count(), 3U);
  cluster_.expect_sound();
}

TEST_F(PruneTest, TheWindowStaysWholeAndTheRestThinsOut) {
  cluster_.live(24 * 12, hours(1));
  const Timestamp now = cluster_.clock.now();
  const auto before = cluster_.coverage().ranges.front();
  const auto report = cluster_.prune(policy_of(days(3), days(7), days(30)));
  const auto after = cluster_.coverage();
  // Any second of the window: one snapshot at its beginning or before, and all that came later.
  const auto& newest = after.ranges.front().open_ended ? after.ranges.front() : after.ranges.back();
  EXPECT_EQ(newest.to_lsn, before.to_lsn);
  EXPECT_EQ(newest.from_time, now - days(3));
  EXPECT_EQ(newest.snapshots.size(), 73U);
  // Outside of it: 4 or 5 days and 1 or 2 weeks.
  const std::size_t outside = after.snapshots.size() - newest.snapshots.size();
  EXPECT_GE(outside, 4U);
  EXPECT_LE(outside, 7U);
  EXPECT_EQ(cluster_.segment_count(), 73 + outside);
  EXPECT_EQ(report.plan.after.snapshots.size(), after.snapshots.size());
  EXPECT_EQ(report.waits_for, "");
  cluster_.expect_sound();
  const auto again = cluster_.prune(policy_of(days(3), days(7), days(30)));
  EXPECT_TRUE(again.plan.empty());
  EXPECT_EQ(again.removed_objects, 0U);
}

TEST_F(PruneTest, WithinTheWindowSnapshotsMayThinOutAndWalDoesNot) {
  cluster_.live(4 * 24 * 4, std::chrono::minutes(15));
  RetentionPolicy policy = policy_of(days(2));
  policy.every = hours(6);
  policy.hourly = days(1);
  policy.daily = days(30);
  cluster_.prune(policy);
  const auto coverage = cluster_.coverage();
  const auto& newest = *newest_range(coverage);
  EXPECT_EQ(newest.from_time, cluster_.clock.now() - days(2));
  EXPECT_EQ(newest.to_lsn, cluster_.end());
  // 6 h of four an hour, 18 or 19 hours, a day's newest, and the window's first.
  EXPECT_GE(newest.snapshots.size(), 25U + 18 + 2);
  EXPECT_LE(newest.snapshots.size(), 25U + 19 + 3);
  EXPECT_GE(cluster_.segment_count(), 4U * 24 * 2);
  cluster_.expect_sound();
  EXPECT_TRUE(cluster_.prune(policy).plan.empty());
}

TEST_F(PruneTest, DayByDayItComesToTheSame) {
  const auto policy = policy_of(days(2), days(10), days(40));
  PassingCluster at_once;
  for (int day = 0; day < (sanitized ? 15 : 60); ++day) {
    cluster_.live(4, hours(6));
    at_once.live(4, hours(6));
    cluster_.prune(policy);
    ASSERT_EQ(cluster_.coverage().ranges.back().to_lsn, at_once.coverage().ranges.back().to_lsn);
  }
  at_once.prune(policy);
  std::vector<Timestamp> times;
  std::vector<Timestamp> times_at_once;
  for (const auto& snapshot : cluster_.coverage().snapshots) times.push_back(snapshot.consistent_time);
  for (const auto& snapshot : at_once.coverage().snapshots) times_at_once.push_back(snapshot.consistent_time);
  EXPECT_EQ(times, times_at_once);
  cluster_.expect_sound();
}

TEST_F(PruneTest, NeitherAStreamThatStandsStillNorAWrongClockTakesAnythingAway) {
  cluster_.live(10, hours(1));
  cluster_.clock.pass(days(4000));
  const auto report = cluster_.prune(policy_of(days(1)));
  EXPECT_TRUE(report.plan.empty());
  EXPECT_EQ(cluster_.snapshot_ids().size(), 10U);
}

TEST_F(PruneTest, TheLastOneStaysAndAllThatFollowsIt) {
  cluster_.live(3, hours(1));
  for (int i = 0; i < 5; ++i) {
    cluster_.clock.pass(days(1));
    cluster_.seal();
  }
  cluster_.prune(policy_of(hours(1)));
  const auto coverage = cluster_.coverage();
  ASSERT_EQ(coverage.ranges.size(), 1U);
  EXPECT_EQ(coverage.ranges.front().to_lsn, cluster_.end());
  EXPECT_EQ(coverage.snapshots.size(), 1U);
  EXPECT_EQ(cluster_.segment_count(), 6U);
  cluster_.expect_sound();
}

TEST_F(PruneTest, DamageAtTheEndOfTheWalTakesNothingBeforeIt) {
  cluster_.live(3, hours(1));
  for (int i = 0; i < 3; ++i) {
    cluster_.clock.pass(days(1));
    cluster_.seal();
  }
  const auto segments = must(cluster_.space.list("wal/"));
  const auto last = cluster_.space.object_name(segments.back().name);
  const Bytes content = must(cluster_.store->get(last));
  overwrite(*cluster_.store, last, ByteView(content).first(content.size() / 2));
  ASSERT_EQ(newest_range(cluster_.coverage()), nullptr);
  const auto before = cluster_.coverage().ranges.back();
  cluster_.prune(policy_of(std::chrono::seconds(1)));
  const auto after = cluster_.coverage().ranges.back();
  EXPECT_EQ(after.to_lsn, before.to_lsn);
  EXPECT_EQ(after.snapshots.size(), 1U);
  EXPECT_EQ(cluster_.segment_count(), 4U) << "the damaged one among them";
}

// And what the window has before and behind it is not said to be all that retention left.
TEST_F(PruneTest, WhatIsLostWithinTheWindowStaysLost) {
  cluster_.live(40, hours(1));
  const Lsn lost = PassingCluster::first_segment + 30 * std::uint64_t{PassingCluster::wal_segment_bytes};
  const auto name = wal_object_name(TimelineId{1}, lost, PassingCluster::wal_segment_bytes);
  ASSERT_TRUE(cluster_.store->remove(cluster_.space.object_name(name)));
  cluster_.prune(policy_of(hours(20)));
  EXPECT_EQ(cluster_.coverage().ranges.size(), 2U);
  VerifyOptions options;
  const auto report =
      must(verify_cluster(cluster_.space, PassingCluster::wal_segment_bytes, options, cluster_.cancellation));
  ASSERT_EQ(report.missing_wal.size(), 1U);
  EXPECT_EQ(report.missing_wal.front().from_lsn, lost);
}

TEST_F(PruneTest, WithoutAnyRecordNothingIsFree) {
  cluster_.live(5, hours(1));
  const auto id = cluster_.snapshot_ids().front();
  const auto held = must(list_snapshots(cluster_.space)).snapshots.front();
  Hold hold{.snapshot = id,
            .timeline = {1},
            .from_lsn = held.start_lsn,
            .to_lsn = held.consistent_lsn,
            .reason = "x"};
  hold.id = must(put_hold(cluster_.space, hold, cluster_.clock));
  for (const auto& gone : cluster_.snapshot_ids()) ASSERT_TRUE(remove_snapshot(cluster_.space, gone));
  cluster_.clock.pass(days(3));
  const auto packs = cluster_.pack_count();
  EXPECT_EQ(code_of(cluster_.try_prune(policy_of(hours(1)))), "damaged");
  ASSERT_TRUE(remove_hold(cluster_.space, hold.id));
  cluster_.prune(policy_of(hours(1)));
  EXPECT_EQ(cluster_.pack_count(), packs);
}

TEST_F(PruneTest, TheFloorIsAWindowOfItsOwn) {
  cluster_.live(100, hours(1));
  RetentionPolicy policy = policy_of(hours(5));
  policy.floor = hours(50);
  const auto report = cluster_.prune(policy);
  EXPECT_EQ(cluster_.snapshot_ids().size(), 51U);
  EXPECT_THAT(rules_of(report.plan, cluster_.snapshot_ids().front()), ElementsAre(KeepRule::floor));
  EXPECT_EQ(report.plan.after.ranges.front().from_time, cluster_.clock.now() - hours(50));
}

TEST_F(PruneTest, ADryRunWritesNothing) {
  cluster_.live(50, hours(1));
  const auto names = must(cluster_.store->list_all(""));
  const auto report = cluster_.prune(policy_of(hours(5)), true);
  EXPECT_EQ(report.plan.doomed_snapshots().size(), 44U);
  EXPECT_GT(report.plan.pack_bytes, 0U);
  EXPECT_EQ(must(cluster_.store->list_all("")).size(), names.size());
  std::uint64_t by_snapshot = report.plan.stray_bytes;
  for (const auto& fate : report.plan.snapshots) by_snapshot += fate.only_here_bytes;
  EXPECT_EQ(by_snapshot, report.plan.pack_bytes);
}

TEST_F(PruneTest, AHoldKeepsItsSnapshotAndTheWayToItsMomentUntilItEnds) {
  cluster_.live(30, hours(1));
  const auto held = must(list_snapshots(cluster_.space)).snapshots[10];
  Hold hold{.snapshot = held.id,
            .timeline = TimelineId{1},
            .from_lsn = held.start_lsn,
            .to_lsn = held.consistent_lsn + 2 * PassingCluster::wal_segment_bytes,
            .reason = "the lawyers",
            .until = cluster_.clock.now() + days(1)};
  must(put_hold(cluster_.space, hold, cluster_.clock));
  const auto report = cluster_.prune(policy_of(hours(3)));
  EXPECT_THAT(rules_of(report.plan, held.id), ElementsAre(KeepRule::hold));
  const auto range = cluster_.coverage().ranges.front();
  EXPECT_THAT(range.snapshots, ElementsAre(held.id));
  EXPECT_EQ(range.to_lsn, held.start_lsn + 1000 + 2 * PassingCluster::wal_segment_bytes);
  cluster_.expect_sound();
  cluster_.live(30, hours(1));
  cluster_.prune(policy_of(hours(3)));
  EXPECT_THAT(cluster_.snapshot_ids(), Not(Contains(held.id)));
  EXPECT_THAT(must(list_holds(cluster_.space)).holds, IsEmpty());
}

TEST_F(PruneTest, WhatIsNotKnownIsNotRemoved) {
  cluster_.live(10, hours(1));
  const auto id = cluster_.snapshot_ids().front();
  const auto name = cluster_.space.object_name("snapshots/" + id);
  const Bytes sound = must(cluster_.store->get(name));
  overwrite(*cluster_.store, name, ByteView(sound).first(sound.size() - 1));
  const auto refused = cluster_.try_prune(policy_of(hours(3)));
  EXPECT_EQ(code_of(refused), "damaged");
  EXPECT_THAT(refused.error().hint(), ::testing::HasSubstr("pgstrata repair app"));
  overwrite(*cluster_.store, name, sound);
  ASSERT_TRUE(cluster_.store->put(cluster_.space.object_name("holds/x"), Bytes(100)));
  EXPECT_EQ(code_of(cluster_.try_prune(policy_of(hours(3)))), "damaged");
  ASSERT_TRUE(remove_hold(cluster_.space, "x"));
  EXPECT_EQ(cluster_.snapshot_ids().size(), 10U);
  EXPECT_EQ(code_of(cluster_.try_prune(policy_of(hours(3)))), "ok");
}

TEST_F(PruneTest, OneThatLacksAPackIsLeftToRepair) {
  cluster_.live(10, hours(1));
  const auto first = must(list_snapshots(cluster_.space)).snapshots.front();
  ASSERT_TRUE(cluster_.store->remove(cluster_.space.object_name(pack_name(first.packs.back()))));
  const auto report = cluster_.prune(policy_of(hours(3)));
  EXPECT_THAT(rules_of(report.plan, first.id), ElementsAre(KeepRule::damaged));
  EXPECT_THAT(cluster_.snapshot_ids(), Contains(first.id));
}

TEST_F(PruneTest, AnAbandonedTimelineGoesWhenItsTimeIsOver) {
  cluster_.live(10, hours(1));
  const Lsn fork = cluster_.end();
  cluster_.switch_timeline();
  cluster_.live(10, hours(1));
  const auto at_switch = cluster_.prune(policy_of(hours(15)));
  EXPECT_EQ(at_switch.plan.after.ranges.back().from_time, cluster_.clock.now() - hours(15));
  cluster_.live(20, hours(1));
  cluster_.prune(policy_of(hours(5)));
  const auto coverage = cluster_.coverage();
  ASSERT_EQ(coverage.ranges.size(), 1U);
  EXPECT_GT(coverage.ranges.front().from_lsn, fork);
  EXPECT_EQ(cluster_.segment_count(), 6U);
  cluster_.expect_sound();
}

// What is needed and not there is told all the same.
TEST_F(PruneTest, WhatIsLostBeforeTheHorizonIsTold) {
  cluster_.live(50, hours(1));
  cluster_.prune(policy_of(hours(3), days(30)));
  const auto first = must(list_snapshots(cluster_.space)).snapshots.front();
  const auto segment =
      wal_object_name(TimelineId{1}, {first.start_lsn.value - first.start_lsn.value % (1U << 20)}, 1U << 20);
  ASSERT_TRUE(cluster_.store->remove(cluster_.space.object_name(segment)));
  VerifyOptions options;
  const auto report =
      must(verify_cluster(cluster_.space, PassingCluster::wal_segment_bytes, options, cluster_.cancellation));
  ASSERT_EQ(report.damaged.size(), 1U);
  EXPECT_EQ(report.damaged.front().name, cluster_.space.object_name(segment));
  EXPECT_THAT(report.damaged.front().snapshots, ElementsAre(first.id));
}

}  // namespace
}  // namespace pgstrata::testing
