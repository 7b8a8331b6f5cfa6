#include "retention/prune.h"

#include "base/sanitized.h"
#include "catalog/cluster_copy.h"
#include "catalog/condemned.h"
#include "catalog/lease_names.h"
#include "catalog/retention_floor.h"
#include "repo/record.h"
#include "retention/retention_test_support.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

RetentionPolicy policy_of(std::chrono::seconds window, std::chrono::seconds daily = {},
                          std::chrono::seconds weekly = {}) {
  RetentionPolicy policy;
  policy.window = window;
  policy.daily = daily;
  policy.weekly = weekly;
  return policy;
}

std::vector<KeepRule> rules_of(const PrunePlan& plan, const std::string& id) {
  const auto fate =
      std::ranges::find(plan.snapshots, id, [](const SnapshotFate& one) { return one.snapshot.id; });
  return fate == plan.snapshots.end() ? std::vector<KeepRule>() : fate->kept_by;
}

class PruneTest : public ::testing::Test {
 protected:
  PassingCluster cluster_;
};

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

TEST_F(PruneTest, WhoBeganBeforeTheNotePublishesAndIsWaitedFor) {
  cluster_.live(10, hours(1));
  const PackId stray = cluster_.stray_pack();
  cluster_.clock.pass(days(2));
  auto lease =
      std::optional(must(Lease::acquire(cluster_.space, backup_lease_name, "backup", cluster_.clock)));
  const auto chunks = must(ChunkStore::open(cluster_.space, cluster_.clock));
  EXPECT_TRUE(chunks->has_pack(stray));
  const auto oldest = must(list_snapshots(cluster_.space)).snapshots.front();
  const auto pruned = cluster_.prune(policy_of(hours(3)));
  EXPECT_EQ(pruned.waits_for, backup_lease_name);
  EXPECT_EQ(cluster_.snapshot_ids().size(), 4U);
  EXPECT_EQ(pruned.removed_objects, 6U) << "records alone";
  // It publishes one that needs what it found.
  SnapshotRecord published = oldest;
  published.id = "20261201-000000-ffff";
  published.packs.push_back(stray);
  std::ranges::sort(published.packs);
  published.start_lsn = cluster_.end() + -std::uint64_t{1000};
  published.consistent_lsn = cluster_.end() + -std::uint64_t{100};
  published.consistent_time = cluster_.clock.now();
  ASSERT_TRUE(put_snapshot(cluster_.space, published));
  // Who comes now does not see them.
  EXPECT_EQ(cluster_.prune(policy_of(hours(3))).waits_for, backup_lease_name);
  lease.reset();
  EXPECT_FALSE(must(ChunkStore::open(cluster_.space, cluster_.clock))->has_pack(stray));
  const auto finished = cluster_.prune(policy_of(hours(3)));
  EXPECT_EQ(finished.waits_for, "");
  EXPECT_GT(finished.removed_objects, 5U);
  EXPECT_TRUE(must(ChunkStore::open(cluster_.space, cluster_.clock))->has_pack(stray));
  EXPECT_THAT(must(list_condemned_notes(cluster_.space)), IsEmpty());
  cluster_.expect_sound();
}

// As Swift is, where it keeps several copies.
class StoreThatListsLate : public MemoryStore {
 public:
  [[nodiscard]] StoreCapabilities capabilities() const override { return {.far = true}; }
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override {
    PGS_TRY(auto objects, MemoryStore::list(prefix, after, limit));
    std::erase_if(objects, [&](const ObjectInfo& object) { return object.name.ends_with(not_yet); });
    return objects;
  }
  std::string not_yet = "\n";
};

TEST_F(PruneTest, AListingThatLagsTakesNothingAway) {
  auto store = std::make_unique<StoreThatListsLate>();
  StoreThatListsLate& listing = *store;
  PassingCluster cluster(std::move(store));
  cluster.live(10, hours(1));
  // It needs what the policy lets go, and nobody sees it yet.
  SnapshotRecord published = must(list_snapshots(cluster.space)).snapshots.front();
  published.id = "20261201-000000-ffff";
  published.start_lsn = cluster.end() + -std::uint64_t{1000};
  published.consistent_lsn = cluster.end() + -std::uint64_t{100};
  published.consistent_time = cluster.clock.now();
  ASSERT_TRUE(put_snapshot(cluster.space, published));
  listing.not_yet = published.id;
  const std::size_t packs = cluster.pack_count();
  EXPECT_EQ(cluster.prune(policy_of(hours(3))).waits_for, waits_for_listings);
  EXPECT_EQ(cluster.pack_count(), packs);
  listing.not_yet = "\n";
  cluster.clock.pass(hours(2));
  EXPECT_GT(cluster.prune(policy_of(hours(3))).removed_objects, 5U);
  EXPECT_LT(cluster.pack_count(), packs);
  EXPECT_THAT(cluster.snapshot_ids(), Contains(published.id));
  cluster.expect_sound();
}

TEST_F(PruneTest, AReaderIsSeenOrSeesTheNote) {
  cluster_.live(10, hours(1));
  const auto list = must(list_snapshots(cluster_.space)).snapshots;
  const auto hold_of = [](const SnapshotRecord& snapshot) {
    return Hold{.kind = HoldKind::restore,
                .snapshot = snapshot.id,
                .timeline = snapshot.timeline,
                .from_lsn = snapshot.start_lsn,
                .to_lsn = snapshot.consistent_lsn,
                .reason = "a restore"};
  };
  const auto segment_of = [](const SnapshotRecord& snapshot) {
    return WalSegmentIds{{TimelineId{1}, {snapshot.start_lsn.value - snapshot.start_lsn.value % (1U << 20)}}};
  };
  const auto read = [&](const SnapshotRecord& snapshot) {
    return hold_for_reading(cluster_.space, hold_of(snapshot), segment_of(snapshot), 1U << 20,
                            cluster_.clock);
  };
  EXPECT_EQ(code_of(read(list[0])), "ok");
  CondemnedNote note;
  note.snapshots = {list[1].id};
  note.segments = segment_of(list[2]);
  note.id = must(put_condemned_note(cluster_.space, note, cluster_.clock));
  EXPECT_EQ(code_of(read(list[1])), "not_found");
  EXPECT_EQ(code_of(read(list[2])), "not_found");
  EXPECT_EQ(code_of(read(list[3])), "ok");
  ASSERT_TRUE(remove_condemned_note(cluster_.space, note.id, [] { return Result<void>(); }));
  cluster_.prune(policy_of(hours(1)));
  EXPECT_EQ(must(list_holds(cluster_.space)).holds.size(), 2U) << "who gives up leaves none";
  EXPECT_THAT(cluster_.snapshot_ids(), ElementsAre(list[0].id, list[3].id, list[8].id, list[9].id));
  EXPECT_EQ(code_of(read(list[4])), "not_found");
  cluster_.expect_sound();
}

// Calls somebody in when something is read for the first time.
class InterruptingStore : public BorrowedStore {
 public:
  InterruptingStore(ObjectStore& store, std::string what, std::function<void()> work)
      : BorrowedStore(store), what_(std::move(what)), work_(std::move(work)) {}
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    if (name.find(what_) != std::string_view::npos)
      if (const auto work = std::exchange(work_, {})) work();
    return BorrowedStore::read_some(name, offset, into);
  }
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes) override {
    if (name.find(what_) != std::string_view::npos)
      if (const auto work = std::exchange(work_, {})) work();
    return BorrowedStore::get(name, limit_bytes);
  }

 private:
  std::string what_;
  std::function<void()> work_;
};

TEST_F(PruneTest, WhoVerifiesMeanwhileTellsNoDamageThatIsNone) {
  for (const std::string what : {"packs/", "wal/"}) {
    PassingCluster cluster;
    cluster.live(20, hours(1));
    std::size_t removed = 0;
    InterruptingStore store(*cluster.store, what,
                            [&] { removed = cluster.prune(policy_of(hours(3))).removed_objects; });
    VerifyOptions options;
    options.workers = 1;
    const ClusterSpace through(store, "app", cluster.space.key());
    const auto report =
        must(verify_cluster(through, PassingCluster::wal_segment_bytes, options, cluster.cancellation));
    EXPECT_GT(removed, 30U);
    EXPECT_TRUE(report.sound());
    for (const auto& damaged : report.damaged) ADD_FAILURE() << damaged.name << ": " << damaged.what;
    EXPECT_THAT(report.lost, IsEmpty());
    EXPECT_THAT(report.missing_wal, IsEmpty());
  }
}

TEST_F(PruneTest, WhoCopiesMeanwhileLeavesOutNothingThatStayed) {
  cluster_.live(20, hours(1));
  ASSERT_TRUE(put_record(cluster_.space, "cluster", RecordKind::cluster, as_byte_view("{}")));
  ASSERT_TRUE(raise_retention_floor(cluster_.space, hours(2)));
  InterruptingStore store(*cluster_.store, "packs/", [&] { cluster_.prune(policy_of(hours(3), days(30))); });
  const ClusterSpace from(store, "app", cluster_.space.key());
  MemoryStore elsewhere;
  const ClusterSpace to(elsewhere, "app", cluster_.space.key());
  CopyOptions options;
  options.workers = 1;
  options.still_allowed = [] { return Result<void>(); };
  const auto copy = [&] {
    return must(copy_cluster(from, to, PassingCluster::wal_segment_bytes, options, cluster_.cancellation));
  };
  const auto report_of_copy = copy();
  for (const auto& object : report_of_copy.left_out) ADD_FAILURE() << object.name << ": " << object.what;
  EXPECT_LT(cluster_.snapshot_ids().size(), 20U) << "it was pruned";
  EXPECT_EQ(must(list_snapshot_ids(to)), cluster_.snapshot_ids());
  VerifyOptions verify;
  verify.workers = 1;
  const auto report =
      must(verify_cluster(to, PassingCluster::wal_segment_bytes, verify, cluster_.cancellation));
  EXPECT_TRUE(report.damaged.empty());
  EXPECT_THAT(report.missing_wal, IsEmpty());
  EXPECT_EQ(must(get_retention_floor(to)), hours(2));
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

// Each snapshot has one file that stays and a lot that the next one replaces: its pack is mostly dead then.
class PackCompactionTest : public PruneTest {
 protected:
  void live(PassingCluster& cluster, int steps) {
    for (int step = 0; step < steps; ++step) {
      cluster.more_files[fmt::format("base/9{}", step)] = noise(9000, 1000 + step);
      cluster.more_files["base/hot"] = noise(40'000, 2000 + step);
      cluster.live(1, hours(1));
    }
  }
  // By the moment that it is of.
  static std::map<Timestamp, std::string> contents_of(PassingCluster& cluster) {
    std::map<Timestamp, std::string> contents;
    for (const auto& snapshot : cluster.coverage().snapshots)
      contents[snapshot.consistent_time] = cluster.content_of(snapshot);
    return contents;
  }
  static std::uint64_t packs_bytes(const PassingCluster& cluster) {
    std::uint64_t bytes = 0;
    for (const auto& pack : must(cluster.space.list("packs/"))) bytes += pack.size_bytes;
    return bytes;
  }
};

TEST_F(PackCompactionTest, WhatIsNeededOfMostlyDeadPacksIsStoredAnew) {
  live(cluster_, 20);
  const auto before = contents_of(cluster_);
  const std::uint64_t bytes_before = packs_bytes(cluster_);
  const auto report = cluster_.prune(policy_of(hours(4)));
  EXPECT_GE(report.compaction.packs, 14U);
  EXPECT_GT(report.compaction.dead_bytes, 500'000U);
  EXPECT_EQ(report.compaction.snapshots, 5U);
  const auto after = contents_of(cluster_);
  EXPECT_EQ(after.size(), 5U);
  for (const auto& [time, content] : after) EXPECT_EQ(before.at(time), content);
  // Five states of the hot file and twenty others, where there were twenty of each.
  EXPECT_LT(packs_bytes(cluster_), bytes_before / 2);
  cluster_.expect_sound();
  EXPECT_TRUE(cluster_.prune(policy_of(hours(4))).plan.empty());
  // Once more, over what was made anew.
  live(cluster_, 20);
  cluster_.prune(policy_of(hours(4)));
  EXPECT_EQ(cluster_.snapshot_ids().size(), 5U);
  cluster_.expect_sound();
}

TEST_F(PackCompactionTest, WhatIsHeldStaysWhereItIs) {
  live(cluster_, 20);
  const auto held = must(list_snapshots(cluster_.space)).snapshots[18];
  must(put_hold(cluster_.space,
                {.kind = HoldKind::branch,
                 .snapshot = held.id,
                 .timeline = held.timeline,
                 .from_lsn = held.start_lsn,
                 .to_lsn = held.consistent_lsn,
                 .reason = "branch look on db1"},
                cluster_.clock));
  cluster_.prune(policy_of(hours(4)));
  for (const auto& pack : held.packs)
    EXPECT_TRUE(cluster_.store->stat(cluster_.space.object_name(pack_name(pack)))) << to_string(pack);
  EXPECT_THAT(cluster_.snapshot_ids(), Contains(held.id));
  cluster_.expect_sound();
}

TEST_F(PackCompactionTest, IsSoundAtEachStepAndGoneOnWith) {
  const auto policy = policy_of(hours(2));
  PassingCluster whole;
  live(whole, 6);
  const auto contents = contents_of(whole);
  whole.prune(policy);
  for (const auto kind : {Fault::Kind::crash, Fault::Kind::error, Fault::Kind::lost_answer}) {
    for (std::uint64_t step = 30;; step += fault_step_stride) {
      PassingCluster cluster;
      live(cluster, 6);
      FaultStore faulty(*cluster.store, step);
      faulty.set_fault({.kind = kind, .at_step = step});
      const ClusterSpace through(faulty, "app", cluster.space.key());
      const auto cut_short = cluster.try_prune(through, policy);
      const std::string when = fmt::format("{}", faulty.last_fault());
      if (when.empty()) {
        EXPECT_GT(step, 100U) << "it had steps to fail at";
        break;
      }
      SCOPED_TRACE(when);
      cluster.expect_sound();
      must(cluster.try_prune(policy));
      const auto after = contents_of(cluster);
      EXPECT_EQ(after.size(), 3U);
      for (const auto& [time, content] : after) EXPECT_EQ(contents.at(time), content);
      EXPECT_EQ(cluster.snapshot_ids().size(), 3U);
      EXPECT_THAT(must(cluster.space.list("condemned/")), IsEmpty());
      cluster.expect_sound();
      if (HasFailure()) return;
    }
  }
}

TEST_F(PruneTest, WhoLostItsLeaseRemovesNoMore) {
  cluster_.live(10, hours(1));
  int asked = 0;
  PruneRequest request{.wal_segment_bytes = PassingCluster::wal_segment_bytes,
                       .policy = policy_of(hours(3)),
                       .clock = cluster_.clock,
                       .cancellation = cluster_.cancellation,
                       .still_allowed = [&]() -> Result<void> {
                         if (++asked > 3) return fail(ErrorCode::busy, "taken over");
                         return {};
                       }};
  EXPECT_EQ(code_of(prune_cluster(cluster_.space, request)), "busy");
  EXPECT_EQ(cluster_.snapshot_ids().size(), 8U);
  cluster_.expect_sound();
}

TEST_F(PruneTest, IsSoundAtEachStepAndGoneOnWith) {
  const auto policy = policy_of(hours(3), days(2));
  const auto prepare = [](PassingCluster& cluster) {
    cluster.live(12, hours(3));
    cluster.stray_pack();
    cluster.clock.pass(days(2));
    cluster.seal();
  };
  PassingCluster whole;
  prepare(whole);
  whole.prune(policy);
  for (const auto kind : {Fault::Kind::crash, Fault::Kind::error, Fault::Kind::lost_answer}) {
    for (std::uint64_t step = 1;; step += fault_step_stride) {
      PassingCluster cluster;
      prepare(cluster);
      const auto covered = cluster.coverage().ranges.back();
      FaultStore faulty(*cluster.store, step);
      faulty.set_fault({.kind = kind, .at_step = step});
      const ClusterSpace through(faulty, "app", cluster.space.key());
      const auto cut_short = cluster.try_prune(through, policy);
      const std::string when = fmt::format("{}", faulty.last_fault());
      if (when.empty()) {
        EXPECT_GT(step, 30U) << "it had steps to fail at";
        break;
      }
      SCOPED_TRACE(when);
      cluster.expect_sound();
      EXPECT_EQ(cluster.coverage().ranges.back().to_lsn, covered.to_lsn);
      must(cluster.try_prune(policy));
      EXPECT_EQ(cluster.snapshot_ids().size(), whole.snapshot_ids().size());
      // An interrupted compaction is none of the next prune's that lets nothing go.
      EXPECT_GE(cluster.pack_count(), whole.pack_count());
      EXPECT_EQ(cluster.segment_count(), whole.segment_count());
      EXPECT_THAT(must(cluster.space.list("condemned/")), IsEmpty());
      cluster.expect_sound();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace pgstrata::testing
