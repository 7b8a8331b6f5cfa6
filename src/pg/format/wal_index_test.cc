#include "pg/format/wal_index.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "codec/digest.h"
#include "codec/endian.h"
#include "pg/format/wal_samples_for_test.h"

namespace pgstrata {
namespace {

constexpr std::size_t whole_segments = SIZE_MAX;

std::vector<WalIndex> indexes_of(const WalSample& sample) {
  auto indexes = index_sample(sample, [] { return whole_segments; });
  EXPECT_TRUE(indexes) << indexes.error().describe();
  return indexes ? *std::move(indexes) : std::vector<WalIndex>();
}

// All segments' counts of one relation.
RelationChanges total(const std::vector<WalIndex>& indexes, const RelationFile& relation) {
  RelationChanges sum;
  for (const auto& index : indexes) {
    for (const auto& changes : index.relations) {
      if (changes.relation != relation) continue;
      for (std::size_t kind = 0; kind < change_kind_count; ++kind) sum.counts[kind] += changes.counts[kind];
      sum.page_images += changes.page_images;
    }
  }
  return sum;
}

TEST(WalIndex, CountsTheWorkloadOfEachMajor) {
  for (const int major : sample_majors) {
    SCOPED_TRACE(major);
    const WalSample sample(major);
    const auto indexes = indexes_of(sample);
    const Facts& facts = sample.facts;

    std::uint64_t commits = 0;
    std::uint64_t aborts = 0;
    for (const auto& index : indexes) commits += index.commits, aborts += index.aborts;
    EXPECT_EQ(commits, 18U);
    EXPECT_EQ(aborts, 3U);

    // What make_samples.sh did to each table.
    const auto ledger = total(indexes, facts.relation("ledger"));
    EXPECT_EQ(ledger.count(ChangeKind::created), 1U);
    EXPECT_EQ(ledger.count(ChangeKind::inserted), 500U + 2 + 3 + 1);
    EXPECT_EQ(ledger.count(ChangeKind::updated), 200U + 1 + 100);
    EXPECT_EQ(ledger.count(ChangeKind::removed), 50U + 10);
    EXPECT_EQ(ledger.count(ChangeKind::truncated), 0U);
    EXPECT_EQ(ledger.count(ChangeKind::dropped), 0U);
    EXPECT_GT(ledger.page_images, 0U);

    const auto bulk = total(indexes, facts.relation("bulk"));
    EXPECT_EQ(bulk.count(ChangeKind::created), 1U);
    EXPECT_EQ(bulk.count(ChangeKind::inserted), 1000U);
    EXPECT_EQ(bulk.count(ChangeKind::dropped), 1U);  // by TRUNCATE
    EXPECT_EQ(bulk.count(ChangeKind::removed), 0U);
    const auto bulk_after = total(indexes, facts.relation("bulk_after"));
    EXPECT_EQ(bulk_after.count(ChangeKind::created), 1U);
    EXPECT_EQ(bulk_after.count(ChangeKind::dropped), 1U);  // by DROP TABLE
    const Oid database = facts.relation("bulk").database;
    const auto bulk_oid = static_cast<std::uint32_t>(facts.number("bulk_oid"));
    EXPECT_EQ(total(indexes, {Oid{0}, database, Oid{bulk_oid}}).count(ChangeKind::truncated), 1U);

    const auto fresh = total(indexes, facts.relation("fresh"));
    EXPECT_EQ(fresh.count(ChangeKind::inserted), 3U);
    EXPECT_EQ(fresh.count(ChangeKind::truncated), 1U);

    EXPECT_GT(total(indexes, facts.relation("ledger_index")).count(ChangeKind::other), 500U);
    EXPECT_EQ(total(indexes, facts.relation("ledger_index")).count(ChangeKind::inserted), 0U);
    EXPECT_EQ(total(indexes, facts.relation("bulk_index")).count(ChangeKind::created), 1U);
  }
}

TEST(WalIndex, NotesWhatHappenedWhen) {
  for (const int major : sample_majors) {
    SCOPED_TRACE(major);
    const WalSample sample(major);
    const auto indexes = indexes_of(sample);
    std::vector<std::string> names;
    std::vector<IndexedCheckpoint> checkpoints;
    std::vector<IndexedDatabaseChange> databases;
    Lsn start = sample.start;
    for (const auto& index : indexes) {
      EXPECT_EQ(index.start, start);
      EXPECT_EQ(index.end, start + WalSample::segment_size_bytes);
      EXPECT_EQ(index.major_version, index.records == 0 ? 0 : major);
      start = index.end;
      for (const auto& point : index.restore_points) {
        names.push_back(point.name);
        EXPECT_GT(point.lsn, index.start);
        EXPECT_LE(point.lsn, index.end);
        EXPECT_GT(to_rfc3339(point.time), "2026-11-21T10:00");
      }
      checkpoints.insert(checkpoints.end(), index.checkpoints.begin(), index.checkpoints.end());
      databases.insert(databases.end(), index.database_changes.begin(), index.database_changes.end());
      if (index.commits != 0) {
        EXPECT_GT(to_rfc3339(index.first_commit_time), "2026-11-21T10:00");
        EXPECT_LE(index.first_commit_time, index.last_commit_time);
        EXPECT_LE(index.last_commit_time, index.last_end_time);
        EXPECT_LE(index.first_xid, index.last_xid);
      }
      EXPECT_EQ(index.page_image_bytes != 0,
                std::ranges::any_of(index.relations, &RelationChanges::page_images));
    }
    EXPECT_EQ(start, sample.end());
    EXPECT_EQ(names, (std::vector<std::string>{"before the storm", "after the storm"}));
    EXPECT_GE(checkpoints.size(), 1U);
    for (const auto& checkpoint : checkpoints) {
      EXPECT_FALSE(checkpoint.shutdown);
      EXPECT_LT(checkpoint.redo, checkpoint.lsn);
    }
    const Oid database{static_cast<std::uint32_t>(sample.facts.number("database"))};
    ASSERT_EQ(databases.size(), 2U);
    EXPECT_TRUE(databases[0].created);
    EXPECT_FALSE(databases[1].created);
    EXPECT_EQ(databases[0].database, database);
    EXPECT_EQ(databases[1].database, database);
  }
}

// Its catalog rows may lie in the segment before.
TEST(WalIndex, ATablespaceIsNotedWhereItIsMade) {
  ByteWriter made;
  made.u32(16400);
  made.bytes(as_byte_view("/srv/space"));
  WalRecord record;
  record.rmgr = Rmgr::tablespace;
  record.main_data = made.view();
  WalIndexBuilder builder({0x1000000});
  ASSERT_TRUE(builder.record(record));
  const auto index = builder.seal_segment({0x2000000});
  ASSERT_EQ(index.relations.size(), 1U);
  EXPECT_TRUE(is_tablespace_itself(index.relations[0].relation));
  EXPECT_EQ(index.relations[0].relation.tablespace, Oid{16400});
  EXPECT_EQ(index.relations[0].count(ChangeKind::created), 1U);
  record.main_data = record.main_data.first(3);
  EXPECT_FALSE(builder.record(record));
}

TEST(WalIndex, AgreesWithPgWaldump) {
  const WalSample sample(15);
  std::uint64_t commits = 0;
  std::uint64_t aborts = 0;
  std::uint64_t records = 0;
  std::uint64_t images = 0;
  for (const auto& index : indexes_of(sample)) {
    commits += index.commits;
    aborts += index.aborts;
    records += index.records;
    for (const auto& changes : index.relations) images += changes.page_images;
  }
  EXPECT_EQ(commits, sample.facts.number("waldump_COMMIT") + sample.facts.number("waldump_COMMIT_PREPARED"));
  EXPECT_EQ(aborts, sample.facts.number("waldump_ABORT") + sample.facts.number("waldump_ABORT_PREPARED"));
  EXPECT_EQ(records, sample.facts.number("waldump_records"));
  EXPECT_EQ(images, sample.facts.number("waldump_full_page_images"));
}

TEST(WalIndex, IsTheSameHoweverTheBytesArrive) {
  for (const int major : sample_majors) {
    const WalSample sample(major);
    const auto expected = indexes_of(sample);
    for (unsigned seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(seed);
      std::mt19937 random(seed);
      std::uniform_int_distribution<std::size_t> piece(1, 1U << (4 * seed + 6));
      const auto indexes = index_sample(sample, [&] { return piece(random); });
      ASSERT_TRUE(indexes) << indexes.error().describe();
      EXPECT_EQ(*indexes, expected);
    }
  }
}

TEST(WalIndex, RecordBelongsToTheSegmentItEndsIn) {
  const WalSample sample(15);
  const auto indexes = indexes_of(sample);
  // The message of 2.2 MB begins in the second segment and passes through the third.
  const auto empty = std::ranges::find(indexes, 0U, &WalIndex::records);
  ASSERT_NE(empty, indexes.end());
  EXPECT_FALSE(empty->last_record_end.valid());
  EXPECT_EQ(empty->major_version, 0);
  EXPECT_TRUE(empty->relations.empty());
  EXPECT_NE(empty, indexes.begin());
  EXPECT_NE(std::find_if(empty, indexes.end(), [](const WalIndex& index) { return index.records != 0; }),
            indexes.end());
  // Its table of before is in the first; that of after in the last.
  EXPECT_GT(total({indexes.front()}, sample.facts.relation("bulk")).count(ChangeKind::inserted), 0U);
  EXPECT_GT(total({indexes.back()}, sample.facts.relation("bulk")).count(ChangeKind::dropped), 0U);
}

WalIndex golden_index() {
  WalIndex index;
  index.start = {0x10000000};
  index.end = {0x11000000};
  index.major_version = 17;
  index.records = 300;
  index.last_record_start = {0x10FFFF00};
  index.last_record_end = {0x10FFFFF8};
  index.commits = 2;
  index.aborts = 1;
  index.first_commit_time = {1795257000000001};
  index.last_commit_time = {1795257000000002};
  index.last_end_time = {1795257000000003};
  index.first_xid = {4294967290};
  index.last_xid = {5};
  index.page_image_bytes = 70000;
  index.cut = {.checkpoints = true, .relations = true};
  index.restore_points = {{"before", {1795257000000004}, {0x10000100}}};
  index.checkpoints = {{true, {0x10000028}, {0x10000060}}, {false, {0x10000200}, {0x10000300}}};
  index.database_changes = {{true, {16400}, {0x10000400}}};
  index.relations = {{{Oid{0}, Oid{5}, Oid{16384}}, {0, 0, 0, 1, 0, 0, 0}, 0},
                     {{Oid{1663}, Oid{5}, Oid{16384}}, {500, 20, 3, 0, 1, 1, 7}, 9},
                     {{Oid{1663}, Oid{5}, Oid{16390}}, {0, 0, 0, 0, 0, 0, 300}, 0},
                     {{Oid{1663}, Oid{6}, Oid{100}}, {1, 0, 0, 0, 0, 0, 0}, 0},
                     {{Oid{1664}, Oid{0}, Oid{1262}}, {0, 0, 0, 0, 0, 0, 0}, 1}};
  return index;
}

// Never change it: indexes written by every earlier version must stay readable.
constexpr std::string_view golden_hex =
    "50475749011180808080018080808801ac0280feff8701f8ffff8701020101fac3d7c660060002fac3d7c660060003fa"
    "c3d7c6600600faffffff05000000f0a2040a01066265666f726504fac3d7c660060080828080010201a880808001e080"
    "808001008084808001808680800101011040000080888080010500058080010801ff0c05808001f7f403140301010709"
    "00000640ac0200016401010100ee098001";

TEST(WalIndex, EncodingIsTheOneDocumented) {
  EXPECT_EQ(to_hex(encode_wal_index(golden_index())), golden_hex);
  const auto decoded = decode_wal_index(*from_hex(golden_hex));
  ASSERT_TRUE(decoded) << decoded.error().describe();
  EXPECT_EQ(*decoded, golden_index());
}

TEST(WalIndex, DecodesWhatItEncodes) {
  EXPECT_EQ(*decode_wal_index(encode_wal_index({})), WalIndex());
  for (const int major : sample_majors) {
    for (const auto& index : indexes_of(WalSample(major))) {
      const Bytes encoded = encode_wal_index(index);
      EXPECT_LT(encoded.size(), 4096U);
      const auto decoded = decode_wal_index(encoded);
      ASSERT_TRUE(decoded) << decoded.error().describe();
      EXPECT_EQ(*decoded, index);
    }
  }
}

TEST(WalIndex, RefusesShortLongAndLaterEncodings) {
  const Bytes good = encode_wal_index(golden_index());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(decode_wal_index(ByteView(good).first(size)).error().code(), ErrorCode::damaged) << size;
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_wal_index(longer));
  Bytes later = good;
  later[4] = std::byte{2};
  EXPECT_EQ(decode_wal_index(later).error().code(), ErrorCode::newer_format);
}

// The widest of everything: what a source could do at worst.
TEST(WalIndex, AtItsLimitsFitsIntoOneChunk) {
  constexpr std::size_t chunk_bytes = 4U << 20;  // repo/pack.h
  constexpr std::uint64_t widest = UINT64_MAX;
  WalIndex index;
  index.records = index.commits = index.aborts = index.page_image_bytes = widest;
  index.start = index.end = index.last_record_start = index.last_record_end = {widest};
  index.restore_points.assign(indexed_events_limit,
                              {std::string(restore_point_name_limit_bytes, 'x'), {1}, {widest}});
  index.checkpoints.assign(indexed_events_limit, {true, {widest}, {widest}});
  index.database_changes.assign(indexed_events_limit, {true, {UINT32_MAX}, {widest}});
  for (std::uint32_t i = 1; i <= indexed_relations_limit; ++i) {
    RelationChanges changes{{Oid{i << 16}, Oid{UINT32_MAX}, Oid{UINT32_MAX}}, {}, widest};
    changes.counts.fill(widest);
    index.relations.push_back(changes);
  }
  EXPECT_LT(encode_wal_index(index).size(), chunk_bytes - 1024) << "beside the rest of a summary";
}

// One DROP OWNED, say, of a very large schema.
TEST(WalIndex, KeepsTheFirstRelationsOfTooManyAndSaysSo) {
  constexpr std::uint32_t dropped = 100'000;
  WalIndexBuilder builder(Lsn{0x100000});
  ByteWriter commit;
  commit.u64(1);        // time
  commit.u32(1U << 2);  // XACT_XINFO_HAS_RELFILENODES
  commit.u32(dropped);
  for (std::uint32_t i = 0; i < dropped; ++i) {
    commit.u32(1663);
    commit.u32(5);
    commit.u32(16384 + i);
  }
  WalRecord record;
  record.major_version = 15;
  record.rmgr = Rmgr::transaction;
  record.info = 0x80;  // XLOG_XACT_HAS_INFO
  record.main_data = commit.view();
  ASSERT_TRUE(builder.record(record));
  const auto index = builder.seal_segment(Lsn{0x200000});
  EXPECT_EQ(index.commits, 1U);
  EXPECT_EQ(index.cut, (WalIndexCut{.relations = true}));
  ASSERT_EQ(index.relations.size(), indexed_relations_limit);
  EXPECT_EQ(index.relations.front().relation.number.value, 16384U);
  EXPECT_EQ(index.relations.front().count(ChangeKind::dropped), 1U);
  EXPECT_EQ(*decode_wal_index(encode_wal_index(index)), index);
  EXPECT_EQ(builder.seal_segment(Lsn{0x300000}).cut, WalIndexCut()) << "the next segment begins anew";
}

TEST(WalIndex, KeepsTheFirstRestorePointsOfTooManyAndSaysSo) {
  WalIndexBuilder builder(Lsn{0x100000});
  WalRecord record;
  record.major_version = 15;
  record.rmgr = Rmgr::xlog;
  record.info = 0x70;  // XLOG_RESTORE_POINT
  Bytes point(8 + 64);
  point[8] = std::byte{'a'};
  record.main_data = point;
  const auto note = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(builder.record(record));
  };
  note(indexed_events_limit);
  EXPECT_EQ(builder.seal_segment(Lsn{0x200000}).cut, WalIndexCut());
  note(indexed_events_limit);
  point[8] = std::byte{'b'};
  note(1);
  const auto index = builder.seal_segment(Lsn{0x300000});
  EXPECT_EQ(index.cut, (WalIndexCut{.restore_points = true}));
  ASSERT_EQ(index.restore_points.size(), indexed_events_limit);
  EXPECT_EQ(index.restore_points.back().name, "a");
}

TEST(WalIndex, XidsGoInACircle) {
  WalIndexBuilder builder(Lsn{0x100000});
  WalRecord record;
  record.major_version = 15;
  record.rmgr = Rmgr::transaction;
  const Bytes time(8);
  record.main_data = time;
  for (const std::uint32_t xid : {4294967290U, 4294967295U, 3U, 9U, 5U}) {
    record.xid = {xid};
    ASSERT_TRUE(builder.record(record));
  }
  const auto index = builder.seal_segment(Lsn{0x200000});
  EXPECT_EQ(index.first_xid.value, 4294967290U);
  EXPECT_EQ(index.last_xid.value, 9U);
  EXPECT_EQ(index.commits, 5U);
}

}  // namespace
}  // namespace pgstrata
