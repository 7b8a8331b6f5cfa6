// Prune while others are at work, cut short, or without its lease.
#include "catalog/cluster_copy.h"
#include "catalog/condemned.h"
#include "catalog/lease_names.h"
#include "catalog/retention_floor.h"
#include "repo/record.h"
#include "retention/retention_test_support.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

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
  const Lsn end = whole.end();
  whole.prune(policy);
  at_each_step_of_prune(prepare, policy, 1, [&](PassingCluster& cluster) {
    EXPECT_EQ(cluster.coverage().ranges.back().to_lsn, end);
    EXPECT_EQ(cluster.snapshot_ids().size(), whole.snapshot_ids().size());
    // An interrupted compaction is none of the next prune's that lets nothing go.
    EXPECT_GE(cluster.pack_count(), whole.pack_count());
    EXPECT_EQ(cluster.segment_count(), whole.segment_count());
  });
}

}  // namespace
}  // namespace pgstrata::testing
