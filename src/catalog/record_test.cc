#include "repo/record.h"

#include <gtest/gtest.h>

#include "catalog/cluster_record.h"
#include "catalog/retention_floor.h"
#include "catalog/retention_horizon.h"
#include "catalog/snapshot_record.h"
#include "repo/test_store.h"
#include "storage/brief_attempts.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

class RecordTest : public ::testing::Test {
 protected:
  Repository repository_ =
      Repository::create(std::make_unique<MemoryStore>(), NoEncryption{}, system_clock()).value();
  ClusterSpace space_ = repository_.create_cluster("app").value();
};

TEST_F(RecordTest, AClusterRoundTrips) {
  EXPECT_EQ(get_cluster_record(space_).error().code(), ErrorCode::not_found);
  const ClusterRecord record{
      "host=db user=backup",           {7'412'345'678'901'234'567U}, 150018, 1U << 24, "pgstrata_app", true,
      Timestamp{1'795'000'000'000'001}};
  ASSERT_TRUE(put_cluster_record(space_, record));
  const auto read = get_cluster_record(space_).value();
  EXPECT_EQ(read.connection, record.connection);
  EXPECT_EQ(read.system_identifier, record.system_identifier);
  EXPECT_EQ(read.server_major(), 15U);
  EXPECT_EQ(read.added, record.added);
  EXPECT_EQ(put_cluster_record(space_, record).error().code(), ErrorCode::already_exists);
}

TEST_F(RecordTest, AClustersRecordIsReplacedAndKeepsWhatIsNotKnown) {
  const ClusterRecord moved{"host=new", {1}, 150018, 1U << 24, "other_slot", true, Timestamp{2}};
  EXPECT_EQ(replace_cluster_record(space_, moved).error().code(), ErrorCode::not_found);
  constexpr std::string_view payload =
      R"({"added":1,"connection":"host=db","data_checksums":true,"from_the_future":[7],)"
      R"("server_version":150018,"slot":"pgstrata_app","system_identifier":1,"wal_segment_bytes":16777216})";
  ASSERT_TRUE(put_record(space_, "cluster", RecordKind::cluster, as_byte_view(payload)));
  const auto before = get_versioned_record(space_, "cluster", RecordKind::cluster).value();
  ASSERT_TRUE(replace_cluster_record(space_, moved));
  const auto read = get_cluster_record(space_).value();
  EXPECT_EQ(read.connection, "host=new");
  EXPECT_EQ(read.slot, "other_slot");
  const Bytes after = get_record(space_, "cluster", RecordKind::cluster).value();
  EXPECT_NE(as_text(after).find(R"("from_the_future":[7])"), std::string_view::npos);
  EXPECT_EQ(replace_record(space_, "cluster", RecordKind::cluster, before.version, {}).error().code(),
            ErrorCode::busy);
  EXPECT_EQ(get_cluster_record(space_).value().connection, "host=new");
}

TEST_F(RecordTest, ANumberOutOfRangeIsDamage) {
  constexpr std::string_view payload =
      R"({"added":17950000000000000000000001,"connection":"host=db","data_checksums":true,)"
      R"("server_version":150018,"slot":"pgstrata_app","system_identifier":1,"wal_segment_bytes":16777216})";
  ASSERT_TRUE(put_record(space_, "cluster", RecordKind::cluster, as_byte_view(payload)));
  EXPECT_EQ(get_cluster_record(space_).error().code(), ErrorCode::damaged);
}

TEST_F(RecordTest, TheRetentionFloorIsRaisedAlone) {
  using std::chrono::hours;
  EXPECT_EQ(get_retention_floor(space_).value(), hours(0));
  EXPECT_EQ(raise_retention_floor(space_, hours(0)).value(), hours(0));
  EXPECT_EQ(space_.store().stat(space_.object_name("retention-floor")).error().code(), ErrorCode::not_found);
  EXPECT_EQ(raise_retention_floor(space_, hours(24)).value(), hours(24));
  EXPECT_EQ(raise_retention_floor(space_, hours(1)).value(), hours(24));
  EXPECT_EQ(raise_retention_floor(space_, hours(48)).value(), hours(48));
  EXPECT_EQ(get_retention_floor(space_).value(), hours(48));
  ASSERT_TRUE(space_.store().remove(space_.object_name("retention-floor")));
  ASSERT_TRUE(
      put_record(space_, "retention-floor", RecordKind::retention_floor, as_byte_view(R"({"seconds":-1})")));
  EXPECT_EQ(raise_retention_floor(space_, hours(1)).error().code(), ErrorCode::damaged);
}

TEST_F(RecordTest, HorizonsOfRetentionOnlyAdvance) {
  const TimelineId first{1};
  const TimelineId second{2};
  EXPECT_EQ(get_wal_horizons(space_).value(), WalHorizons());
  ASSERT_TRUE(advance_wal_horizons(space_, {{first, {100}}}));
  ASSERT_TRUE(advance_wal_horizons(space_, {{first, {50}}, {second, {70}}}));
  const auto horizons = get_wal_horizons(space_).value();
  EXPECT_EQ(horizons, (WalHorizons{{first, {100}}, {second, {70}}}));
  EXPECT_TRUE(was_let_go(horizons, first, {100}));
  EXPECT_FALSE(was_let_go(horizons, first, {101}));
  EXPECT_FALSE(was_let_go(horizons, TimelineId{3}, {1}));
  // One that is damaged is made anew.
  ASSERT_TRUE(space_.store().remove(space_.object_name("retention-horizon")));
  ASSERT_TRUE(space_.store().put(space_.object_name("retention-horizon"), Bytes(60)));
  EXPECT_EQ(get_wal_horizons(space_).value(), WalHorizons());
  ASSERT_TRUE(advance_wal_horizons(space_, {{first, {120}}}));
  EXPECT_EQ(get_wal_horizons(space_).value(), (WalHorizons{{first, {120}}}));
}

TEST_F(RecordTest, ASnapshotRoundTrips) {
  SnapshotRecord record;
  record.started = parse_rfc3339("2026-11-21T10:03:05Z").value();
  record.id = new_snapshot_id(record.started);
  EXPECT_TRUE(record.id.starts_with("20261121-100305-")) << record.id;
  record.consistent_lsn = {0x3000100};
  record.tablespaces = {{{16400}, "/srv/fast \"disk\""}};
  record.packs = {new_pack_id(system_clock())};
  record.tree = {record.packs[0], {48, 77}};
  record.bad_pages = {{"base/5/\xFF", {9}}};  // no UTF-8
  record.bad_page_count = 1;
  ASSERT_TRUE(put_snapshot(space_, record));
  const auto read = get_snapshot(space_, record.id).value();
  EXPECT_EQ(read.consistent_lsn, record.consistent_lsn);
  EXPECT_EQ(read.tree, record.tree);
  EXPECT_EQ(read.packs, record.packs);
  EXPECT_EQ(read.tablespaces[0].location, record.tablespaces[0].location);
  EXPECT_EQ(read.bad_pages[0].block, BlockNumber{9});
  EXPECT_EQ(get_snapshot(space_, "none").error().code(), ErrorCode::not_found);
}

// No answer to the first two puts; what the second asked for is done.
class StoreThatIsAway : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<void> put(std::string_view name, ByteView content) override {
    EXPECT_EQ(BriefAttempts::limit(), publishing_limit);
    if (++puts == 2) PGS_CHECK(BorrowedStore::put(name, content));
    if (puts <= 2) return fail(ErrorCode::unavailable, "no answer");
    return BorrowedStore::put(name, content);
  }
  int puts = 0;
};

TEST_F(RecordTest, WhoPublishesAsksTheLeaseBeforeEachTry) {
  SnapshotRecord record;
  record.id = "20261121-100305-aaaa";
  StoreThatIsAway store(space_.store());
  const ClusterSpace through(store, space_.name(), space_.key());
  int asked = 0;
  const auto until = [&asked](int limit) -> PublishingAllowed {
    return [&asked, limit]() -> Result<void> {
      if (++asked > limit) return fail(ErrorCode::busy, "taken over");
      return {};
    };
  };
  const auto taken_over = publish_snapshot(through, record, until(1));
  ASSERT_FALSE(taken_over);
  EXPECT_EQ(taken_over.error().code(), ErrorCode::busy);
  EXPECT_EQ(store.puts, 1);
  EXPECT_TRUE(list_snapshots(space_)->snapshots.empty());
  store.puts = asked = 0;
  EXPECT_TRUE(publish_snapshot(through, record, until(3))) << "its id is nobody else's";
  EXPECT_EQ(store.puts, 3);
  EXPECT_EQ(list_snapshots(space_)->snapshots.size(), 1U);
  EXPECT_EQ(BriefAttempts::limit(), std::nullopt);
}

TEST_F(RecordTest, ASnapshotOfAnotherExtentSizeIsNotRead) {
  SnapshotRecord record;
  record.id = "20261121-100305-aaaa";
  record.extent_bytes = extent_bytes / 2;
  ASSERT_TRUE(put_snapshot(space_, record));
  EXPECT_EQ(get_snapshot(space_, record.id).error().code(), ErrorCode::newer_format);
  const auto list = list_snapshots(space_).value();
  EXPECT_TRUE(list.snapshots.empty());
  EXPECT_EQ(list.damaged.size(), 1U);
}

TEST_F(RecordTest, ABaseSnapshotSaysNothingOfRolling) {
  SnapshotRecord record;
  record.id = "20261121-100305-aaaa";
  ASSERT_TRUE(put_snapshot(space_, record));
  const Bytes payload = get_record(space_, "snapshots/" + record.id, RecordKind::snapshot).value();
  for (const auto* member : {R"("last_commit":)", R"("tables":)", R"("recovery":)"})
    EXPECT_EQ(as_text(payload).find(member), std::string_view::npos) << member;
  const auto read = get_snapshot(space_, record.id).value();
  EXPECT_FALSE(read.last_commit.valid());
  EXPECT_TRUE(read.tables.empty());
  EXPECT_FALSE(read.recovery.has_value());
}

TEST_F(RecordTest, ARolledSnapshotRoundTrips) {
  SnapshotRecord record;
  record.id = "20261121-100305-aaaa";
  record.kind = SnapshotKind::rolled;
  record.last_commit = Timestamp{1'795'000'000'000'001};
  record.tables = {{"app", "public", "odd \"name\"", std::nullopt, 8192},
                   {"app", "public", "orders", 1'000'000, 1U << 30}};
  record.recovery = SnapshotRecovery{{0x3000028}, {0x5000000}, std::chrono::milliseconds(1234), 150020};
  ASSERT_TRUE(put_snapshot(space_, record));
  const auto read = get_snapshot(space_, record.id).value();
  EXPECT_EQ(read.kind, SnapshotKind::rolled);
  EXPECT_EQ(read.last_commit, record.last_commit);
  EXPECT_EQ(read.recovery, record.recovery);
  ASSERT_EQ(read.tables.size(), 2U);
  EXPECT_EQ(read.tables[0], record.tables[1]) << "the largest first";
  EXPECT_EQ(read.tables[1], record.tables[0]);
}

TEST_F(RecordTest, OfManyTablesTheLargestAreKept) {
  SnapshotRecord record;
  record.id = "20261121-100305-aaaa";
  for (std::uint64_t bytes = 1; bytes <= 2 * max_listed_tables; ++bytes)
    record.tables.push_back({"app", "public", fmt::format("t{}", bytes), 1, bytes});
  ASSERT_TRUE(put_snapshot(space_, record));
  const auto read = get_snapshot(space_, record.id).value();
  ASSERT_EQ(read.tables.size(), max_listed_tables);
  EXPECT_EQ(read.tables.front().bytes, 2 * max_listed_tables);
  EXPECT_EQ(read.tables.back().bytes, max_listed_tables + 1);
}

TEST_F(RecordTest, ADamagedSnapshotIsListedAsSuchAndHidesNoOther) {
  SnapshotRecord record;
  record.id = "20261121-100305-aaaa";
  ASSERT_TRUE(put_snapshot(space_, record));
  ASSERT_TRUE(
      space_.store().put(space_.object_name("snapshots/20261121-100306-bbbb"), as_byte_view("nonsense")));
  ASSERT_TRUE(put_record(space_, "snapshots/20261121-100307-cccc", RecordKind::snapshot, as_byte_view("{}")));
  const auto list = list_snapshots(space_).value();
  ASSERT_EQ(list.snapshots.size(), 1U);
  EXPECT_EQ(list.snapshots[0].id, record.id);
  ASSERT_EQ(list.damaged.size(), 2U);
  EXPECT_EQ(list.damaged[0].error.code(), ErrorCode::damaged);
  EXPECT_EQ(list.damaged[1].error.code(), ErrorCode::damaged);
}

}  // namespace
}  // namespace pgstrata
