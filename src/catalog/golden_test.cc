// What version 1 put into a cluster's space must read for ever: never change what stands here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalog/cluster_record.h"
#include "catalog/condemned.h"
#include "catalog/retention_floor.h"
#include "catalog/retention_horizon.h"
#include "catalog/snapshot_record.h"
#include "catalog/wal_segment_summary.h"
#include "catalog/wal_tail.h"
#include "codec/digest.h"
#include "repo/record.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

class CatalogGoldenTest : public ::testing::Test {
 protected:
  MemoryStore store_;
  ClusterSpace space_{store_, "app", fixed_key(7)};
};

TEST_F(CatalogGoldenTest, ClusterRecord) {
  constexpr std::string_view payload =
      R"({"added":1795000000000001,"connection":"host=db user=backup","data_checksums":true,)"
      R"("server_version":150018,"slot":"pgstrata_app","system_identifier":7412345678901234567,)"
      R"("wal_segment_bytes":16777216})";
  ASSERT_TRUE(put_record(space_, "cluster", RecordKind::cluster, as_byte_view(payload)).has_value());
  const auto record = get_cluster_record(space_);
  ASSERT_EQ(message_of(record), "ok");
  EXPECT_EQ(record->added, Timestamp{1'795'000'000'000'001});
  EXPECT_EQ(record->connection, "host=db user=backup");
  EXPECT_TRUE(record->data_checksums);
  EXPECT_EQ(record->server_version, 150018U);
  EXPECT_EQ(record->slot, "pgstrata_app");
  EXPECT_EQ(record->system_identifier.value, 7'412'345'678'901'234'567U);
  EXPECT_EQ(record->wal_segment_bytes, 1U << 24);
}

TEST_F(CatalogGoldenTest, Hold) {
  constexpr std::string_view payload =
      R"({"created":1795000000000001,"from_lsn":50331688,"kind":"branch","reason":"branch look on db1",)"
      R"("snapshot":"20261121-100305-1f2e","timeline":3,"to_lsn":50331904,"until":1795000000000002})";
  ASSERT_TRUE(put_record(space_, "holds/20261201-000000-0001", RecordKind::hold, as_byte_view(payload)));
  const auto list = list_holds(space_);
  ASSERT_EQ(message_of(list), "ok");
  const Hold expected{.id = "20261201-000000-0001",
                      .kind = HoldKind::branch,
                      .snapshot = "20261121-100305-1f2e",
                      .timeline = TimelineId{3},
                      .from_lsn = {50331688},
                      .to_lsn = {50331904},
                      .reason = "branch look on db1",
                      .created = {1'795'000'000'000'001},
                      .until = {1'795'000'000'000'002}};
  EXPECT_THAT(list->holds, ::testing::ElementsAre(expected));
}

TEST_F(CatalogGoldenTest, CondemnedAndWitness) {
  constexpr std::string_view payload =
      R"({"created":1795000000000001,"packs":["019f0a0b0c0d000102030405060708ff"],)"
      R"("snapshots":["20261121-100305-1f2e"],"wal":[{"start":16777216,"timeline":3}]})";
  ASSERT_TRUE(put_record(space_, "condemned/x", RecordKind::condemned, as_byte_view(payload)));
  const auto all = load_condemned(space_);
  ASSERT_EQ(message_of(all), "ok");
  EXPECT_THAT(all->packs, ::testing::ElementsAre(*parse_pack_id("019f0a0b0c0d000102030405060708ff")));
  EXPECT_THAT(all->snapshots, ::testing::ElementsAre("20261121-100305-1f2e"));
  EXPECT_THAT(all->segments, ::testing::ElementsAre(std::pair(TimelineId{3}, Lsn{16777216})));
  // Nobody holds what the witness held.
  ASSERT_TRUE(put_record(space_, "condemned/x.witness", RecordKind::condemned_witness,
                         as_byte_view(R"({"backup":"00112233","copy":""})")));
  const auto unaware = unaware_of(space_, list_condemned_notes(space_)->front());
  ASSERT_EQ(message_of(unaware), "ok");
  EXPECT_EQ(*unaware, std::nullopt);
}

TEST_F(CatalogGoldenTest, RetentionFloor) {
  ASSERT_TRUE(put_record(space_, "retention-floor", RecordKind::retention_floor,
                         as_byte_view(R"({"seconds":86400})")));
  EXPECT_EQ(get_retention_floor(space_).value(), std::chrono::hours(24));
}

TEST_F(CatalogGoldenTest, RetentionHorizon) {
  constexpr std::string_view payload = R"({"horizons":[{"lsn":50331648,"timeline":3}]})";
  ASSERT_TRUE(put_record(space_, "retention-horizon", RecordKind::retention_horizon, as_byte_view(payload)));
  EXPECT_EQ(get_wal_horizons(space_).value(), (WalHorizons{{TimelineId{3}, Lsn{50331648}}}));
}

TEST_F(CatalogGoldenTest, SnapshotRecord) {
  constexpr std::string_view payload =
      R"({"added_bytes":9000,"bad_page_count":2,"bad_pages":[{"block":9,"path":"base/5/16384"}],)"
      R"("consistent_lsn":50331904,"consistent_time":1795257000000001,"data_checksums":true,)"
      R"("extent_bytes":131072,"files":991,"finished":1795257000000003,"kind":"rolled",)"
      R"("packs":["019f0a0b0c0d000102030405060708ff"],"server_version":150018,"start_lsn":50331688,)"
      R"("started":1795257000000000,"system_identifier":7412345678901234567,)"
      R"("tablespaces":[{"location":"/srv/fast","oid":16400}],"timeline":3,"total_bytes":23000000,)"
      R"("tree":{"offset":48,"pack":"019f0a0b0c0d000102030405060708ff","stored_size":77},)"
      R"("wal_segment_bytes":16777216})";
  const std::string id = "20261121-100305-1f2e";
  ASSERT_TRUE(put_record(space_, "snapshots/" + id, RecordKind::snapshot, as_byte_view(payload)).has_value());
  const auto record = get_snapshot(space_, id);
  ASSERT_EQ(message_of(record), "ok");
  const PackId pack = *parse_pack_id("019f0a0b0c0d000102030405060708ff");
  EXPECT_EQ(record->id, id);
  EXPECT_EQ(record->kind, SnapshotKind::rolled);
  EXPECT_EQ(record->started, Timestamp{1'795'257'000'000'000});
  EXPECT_EQ(record->finished, Timestamp{1'795'257'000'000'003});
  EXPECT_EQ(record->system_identifier.value, 7'412'345'678'901'234'567U);
  EXPECT_EQ(record->server_version, 150018U);
  EXPECT_EQ(record->wal_segment_bytes, 1U << 24);
  EXPECT_TRUE(record->data_checksums);
  EXPECT_EQ(record->timeline, TimelineId{3});
  EXPECT_EQ(record->start_lsn, Lsn{50331688});
  EXPECT_EQ(record->consistent_lsn, Lsn{50331904});
  EXPECT_EQ(record->consistent_time, Timestamp{1'795'257'000'000'001});
  ASSERT_EQ(record->tablespaces.size(), 1U);
  EXPECT_EQ(record->tablespaces[0].oid, Oid{16400});
  EXPECT_EQ(record->tablespaces[0].location, "/srv/fast");
  EXPECT_EQ(record->tree, (ChunkRef{pack, {.offset = 48, .stored_size = 77}}));
  EXPECT_EQ(record->extent_bytes, 131072U);
  EXPECT_EQ(record->packs, std::vector{pack});
  EXPECT_EQ(record->files, 991U);
  EXPECT_EQ(record->total_bytes, 23'000'000U);
  EXPECT_EQ(record->added_bytes, 9000U);
  ASSERT_EQ(record->bad_pages.size(), 1U);
  EXPECT_EQ(record->bad_pages[0].path, "base/5/16384");
  EXPECT_EQ(record->bad_pages[0].block, BlockNumber{9});
  EXPECT_EQ(record->bad_page_count, 2U);
}

TEST_F(CatalogGoldenTest, SnapshotRecordOfARolledOne) {
  constexpr std::string_view payload =
      R"({"added_bytes":9000,"bad_page_count":0,"bad_pages":[],)"
      R"("consistent_lsn":50331904,"consistent_time":1795257000000001,"data_checksums":true,)"
      R"("extent_bytes":131072,"files":991,"finished":1795257000000003,"kind":"rolled",)"
      R"("last_commit":1795257000000002,"packs":["019f0a0b0c0d000102030405060708ff"],)"
      R"("recovery":{"duration_ms":1234,"from":33554472,"server_version":150020,"to":50331904},)"
      R"("server_version":150018,"start_lsn":50331688,)"
      R"("started":1795257000000000,"system_identifier":7412345678901234567,)"
      R"("tables":[{"bytes":1073741824,"database":"app","estimated_rows":1000000,"schema":"public",)"
      R"("table":"orders"},{"bytes":8192,"database":"app","schema":"public","table":"new"}],)"
      R"("tablespaces":[],"timeline":3,"total_bytes":23000000,)"
      R"("tree":{"offset":48,"pack":"019f0a0b0c0d000102030405060708ff","stored_size":77},)"
      R"("wal_segment_bytes":16777216})";
  const std::string id = "20261121-100305-1f2e";
  ASSERT_TRUE(put_record(space_, "snapshots/" + id, RecordKind::snapshot, as_byte_view(payload)).has_value());
  const auto record = get_snapshot(space_, id);
  ASSERT_EQ(message_of(record), "ok");
  EXPECT_EQ(record->last_commit, Timestamp{1'795'257'000'000'002});
  EXPECT_EQ(record->tables, (std::vector<SnapshotTable>{{"app", "public", "orders", 1'000'000, 1U << 30},
                                                        {"app", "public", "new", std::nullopt, 8192}}));
  EXPECT_EQ(record->recovery,
            (SnapshotRecovery{{33554472}, {50331904}, std::chrono::milliseconds(1234), 150020}));
  ASSERT_TRUE(store_.remove(space_.object_name("snapshots/" + id)).has_value());
  ASSERT_TRUE(put_snapshot(space_, *record).has_value());
  const auto written = get_record(space_, "snapshots/" + id, RecordKind::snapshot);
  ASSERT_EQ(message_of(written), "ok");
  EXPECT_EQ(as_text(*written), payload);
}

TEST_F(CatalogGoldenTest, WalSegmentSummary) {
  constexpr std::string_view hex =
      "02874b4f671ff1dd66030000000000001000000000000000110000000003fac3d7c6600600"
      "0001001000000000000080100000000005fac3d7c660060002fac3d7c660060004fac3d7c66006005047574901118080808001"
      "8080808801ac02"
      "80feff8701f8ffff8701020101fac3d7c660060002fac3d7c660060003fac3d7c6600600faffffff05000000f0a2040a0106"
      "6265666f726504fac3d7c660060080828080010201a880808001e08080800100808480800180868080010101104000008088"
      "8080010500058080010801ff0c05808001f7f40314030101070900000640ac0200016401010100ee098001";
  const auto summary = decode_wal_segment_summary(*from_hex(hex));
  ASSERT_EQ(message_of(summary), "ok");
  EXPECT_EQ(summary->system_identifier.value, 7'412'345'678'901'234'567U);
  EXPECT_EQ(summary->timeline, TimelineId{3});
  EXPECT_EQ(summary->start_lsn, Lsn{0x10000000});
  EXPECT_EQ(summary->end_lsn, Lsn{0x11000000});
  EXPECT_EQ(summary->latest_transaction_end, Timestamp{1'795'257'000'000'003});
  EXPECT_EQ(summary->last_break, (WalBreak{{0x10000100}, {0x10800000}}));
  EXPECT_EQ(summary->sent, Timestamp{1'795'257'000'000'005});
  EXPECT_EQ(summary->reaches_to, Timestamp{1'795'257'000'000'002});
  EXPECT_EQ(summary->complete_until, Timestamp{1'795'257'000'000'004});
  EXPECT_EQ(summary->index.commits, 2U);
  EXPECT_EQ(to_hex(encode_wal_segment_summary(*summary)), hex);
}

// As written before there was complete_until.
TEST_F(CatalogGoldenTest, WalSegmentSummaryOfTheFirstVersion) {
  constexpr std::string_view hex =
      "01874b4f671ff1dd66030000000000001000000000000000110000000003fac3d7c6600600"
      "0001001000000000000080100000000005fac3d7c660060002fac3d7c66006005047574901118080808001"
      "8080808801ac02"
      "80feff8701f8ffff8701020101fac3d7c660060002fac3d7c660060003fac3d7c6600600faffffff05000000f0a2040a0106"
      "6265666f726504fac3d7c660060080828080010201a880808001e08080800100808480800180868080010101104000008088"
      "8080010500058080010801ff0c05808001f7f40314030101070900000640ac0200016401010100ee098001";
  const auto summary = decode_wal_segment_summary(*from_hex(hex));
  ASSERT_EQ(message_of(summary), "ok");
  EXPECT_EQ(summary->reaches_to, Timestamp{1'795'257'000'000'002});
  EXPECT_FALSE(summary->complete_until.valid());
  EXPECT_EQ(summary->index.commits, 2U);
}

TEST_F(CatalogGoldenTest, WalTail) {
  auto journal = JournalWriter::create(space_, "wal/tail");
  ASSERT_EQ(message_of(journal), "ok");
  for (const auto* frame :
       {"01000000100000000077616c", "0203000010000000000100faf6c3600600", "0103000010000000006d6f7265"})
    ASSERT_EQ(message_of(journal->append(*from_hex(frame))), "ok");
  ASSERT_EQ(message_of(journal->sync()), "ok");
  const auto tail = read_wal_tail(space_, "wal/tail");
  ASSERT_EQ(message_of(tail), "ok");
  ASSERT_EQ(tail->pieces.size(), 1U);
  EXPECT_EQ(tail->pieces[0].start, Lsn{0x10000000});
  EXPECT_EQ(as_text(tail->pieces[0].bytes), "walmore");
  ASSERT_EQ(tail->marks.size(), 1U);
  EXPECT_EQ(tail->marks[0].lsn, Lsn{0x10000003});
  EXPECT_EQ(tail->marks[0].time, Timestamp{0x000660c3f6fa0001});
}

}  // namespace
}  // namespace pgstrata
