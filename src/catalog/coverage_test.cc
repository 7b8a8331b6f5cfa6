#include "catalog/coverage.h"

#include <functional>
#include <utility>

#include <gtest/gtest.h>

#include "catalog/wal_reader.h"
#include "pg/format/wal_samples_for_test.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t segment_bytes = 1U << 20;
constexpr TimelineId one{1};
constexpr TimelineId two{2};

Lsn segment(std::uint64_t number) {
  return {number * segment_bytes};
}
Timestamp at(std::int64_t seconds) {
  return {1'795'000'000'000'000 + seconds * 1'000'000};
}

// Lets something happen between the listing of a tail and its reading.
class StoreThatMoves : public MemoryStore {
 public:
  std::function<void()> before_a_tail_is_read;

  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes) override {
    happen(name);
    return MemoryStore::get(name, limit_bytes);
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    happen(name);
    return MemoryStore::read_some(name, offset, into);
  }

 private:
  void happen(std::string_view name) {
    if (!name.ends_with(".tail")) return;
    if (const auto now = std::exchange(before_a_tail_is_read, {})) now();
  }
};

class CoverageTest : public ::testing::Test {
 protected:
  // A sealed segment whose last record ends 100 bytes before it does and whose latest commit was at `commit`.
  void seal(TimelineId timeline, std::uint64_t number, Timestamp commit) {
    const Bytes bytes(segment_bytes, std::byte{0x5A});
    write(
        WalSegmentWriter::create(space_, timeline, segment(number), segment_bytes, system_clock(), 1).value(),
        timeline, number, bytes, commit);
  }

  void seal_partial(TimelineId timeline, std::uint64_t number, std::size_t length, Timestamp commit) {
    const Bytes bytes(length, std::byte{0x5A});
    write(
        WalSegmentWriter::create_partial(space_, timeline, segment(number), segment_bytes, system_clock(), 1)
            .value(),
        timeline, number, bytes, commit);
  }

  void write(WalSegmentWriter writer, TimelineId timeline, std::uint64_t number, ByteView bytes,
             Timestamp commit) {
    WalSegmentSummary summary{{42}, timeline, segment(number), segment(number) + bytes.size(), commit, {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.end_lsn;
    summary.index.last_record_start = {summary.end_lsn.value - 200};
    summary.index.last_record_end = {summary.end_lsn.value - 100};
    ASSERT_TRUE(writer.append(bytes));
    ASSERT_TRUE(writer.commit(summary));
  }

  std::string snapshot(TimelineId timeline, Lsn start, Lsn consistent, Timestamp time,
                       std::vector<PackId> packs = {}) {
    SnapshotRecord record;
    record.id = fmt::format("20261121-10000{}-0000", ++snapshots_);
    record.timeline = timeline;
    record.start_lsn = start;
    record.consistent_lsn = consistent;
    record.consistent_time = time;
    record.packs = std::move(packs);
    EXPECT_TRUE(put_snapshot(space_, record));
    return record.id;
  }

  Coverage coverage() { return compute_coverage(space_, segment_bytes, Cancellation()).value(); }

  StoreThatMoves* store_ = new StoreThatMoves;  // the repository's
  Repository repository_ =
      Repository::create(std::unique_ptr<ObjectStore>(store_), NoEncryption{}, system_clock()).value();
  ClusterSpace space_ = repository_.create_cluster("app").value();
  int snapshots_ = 0;
};

TEST_F(CoverageTest, NothingIsNothing) {
  EXPECT_TRUE(coverage().ranges.empty());
  EXPECT_FALSE(coverage().current_timeline.has_value());
}

TEST_F(CoverageTest, WalWithoutASnapshotCoversNothing) {
  seal(one, 3, at(10));
  EXPECT_TRUE(coverage().ranges.empty());
}

TEST_F(CoverageTest, ASnapshotWhoseWalIsMissingCoversNothing) {
  snapshot(one, segment(3) + 40, segment(4) + 100, at(5));
  seal(one, 3, at(10));
  EXPECT_TRUE(coverage().ranges.empty());
  seal(one, 4, at(20));
  ASSERT_EQ(coverage().ranges.size(), 1U);
}

TEST_F(CoverageTest, RunsFromTheFirstSnapshotToTheLastRecord) {
  const auto first = snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  const auto second = snapshot(one, segment(5) + 40, segment(5) + 4000, at(25));
  for (std::uint64_t number = 2; number <= 6; ++number)
    seal(one, number, at(static_cast<std::int64_t>(number) * 10));
  const auto range = coverage().ranges.at(0);
  EXPECT_EQ(range.from_lsn, segment(3) + 4000);
  EXPECT_EQ(range.to_lsn.value, segment(7).value - 100);
  EXPECT_EQ(range.from_time, at(5));
  EXPECT_EQ(range.to_time, at(60));
  EXPECT_TRUE(range.open_ended);
  EXPECT_EQ(range.snapshots, (std::vector{first, second}));
}

// The source's clock went back half an hour in segment 5: what was committed by the old time stays
// restorable, so the range reaches to the latest commit, not to the last.
TEST_F(CoverageTest, AClockThatSteppedBackShortensNothing) {
  snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  seal(one, 3, at(30));
  seal(one, 4, at(2000));
  seal(one, 5, at(2000));  // the summary carries the latest, its own commits were at 200
  const auto range = coverage().ranges.at(0);
  EXPECT_EQ(range.last_commit, at(2000));
  EXPECT_EQ(range.to_time, at(2000));
}

TEST_F(CoverageTest, AGapEndsARangeAndANewSnapshotBeginsAnother) {
  snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  snapshot(one, segment(8) + 40, segment(8) + 4000, at(85));
  for (const std::uint64_t number : {3U, 4U, 7U, 8U})
    seal(one, number, at(static_cast<std::int64_t>(number) * 10));
  const auto ranges = coverage().ranges;
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].to_lsn.value, segment(5).value - 100);
  EXPECT_FALSE(ranges[0].open_ended);
  EXPECT_EQ(ranges[1].from_lsn, segment(8) + 4000);
  EXPECT_TRUE(ranges[1].open_ended);
}

TEST_F(CoverageTest, FollowsAPromotionAndKeepsWhatTheOldTimelineWroteAfterIt) {
  snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  for (const std::uint64_t number : {3U, 4U, 5U})
    seal(one, number, at(static_cast<std::int64_t>(number) * 10));
  ASSERT_TRUE(put_timeline_history(space_, two, as_byte_view("1\t0/480000\tno recovery target specified\n")));
  seal(two, 4, at(41));
  seal(two, 5, at(55));
  const auto covered = coverage();
  EXPECT_EQ(covered.current_timeline, two);
  ASSERT_EQ(covered.ranges.size(), 2U);
  EXPECT_EQ(covered.ranges[0].timeline, two);
  EXPECT_EQ(covered.ranges[0].from_lsn, segment(3) + 4000);
  EXPECT_EQ(covered.ranges[0].to_time, at(55));
  EXPECT_EQ(covered.ranges[1].timeline, one);
  EXPECT_EQ(covered.ranges[1].from_lsn, Lsn{0x480000});
  EXPECT_EQ(covered.ranges[1].to_time, at(50));
}

TEST_F(CoverageTest, APartialSegmentEndsItsTimeline) {
  snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  seal(one, 3, at(30));
  seal_partial(one, 4, 0x80000, at(41));
  ASSERT_TRUE(put_timeline_history(space_, two, as_byte_view("1\t0/480000\tno recovery target specified\n")));
  EXPECT_EQ(coverage().ranges.at(0).to_lsn.value, segment(4).value + 0x80000 - 100);
  seal(two, 4, at(45));
  const auto covered = coverage();
  ASSERT_EQ(covered.ranges.size(), 1U);
  EXPECT_EQ(covered.ranges[0].timeline, two);
  EXPECT_EQ(covered.ranges[0].to_lsn.value, segment(5).value - 100);
}

// A new primary sends the segment in which its timeline began from the beginning: until it has come beyond
// that point, the old timeline has more.
TEST_F(CoverageTest, AnUnfinishedBeginningHidesNothingOfItsAncestor) {
  snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  seal(one, 3, at(30));
  seal_partial(one, 4, 0x80000, at(41));
  ASSERT_TRUE(put_timeline_history(space_, two, as_byte_view("1\t0/480000\tno recovery target specified\n")));
  const Bytes bytes(0x90000, std::byte{0x5A});
  for (const std::size_t received : {0x0U, 0x1000U, 0x80000U, 0x81000U}) {
    auto tail = WalTailWriter::create(space_, two, segment(4), segment_bytes).value();
    ASSERT_TRUE(tail.append(ByteView(bytes).first(received)));
    ASSERT_TRUE(tail.sync());
    const auto covered = coverage();
    if (received > 0x80000) {
      EXPECT_EQ(covered.current_timeline, two);
      continue;
    }
    EXPECT_EQ(covered.current_timeline, one) << received;
    ASSERT_EQ(covered.ranges.size(), 1U);
    EXPECT_EQ(covered.ranges[0].to_lsn.value, segment(4).value + 0x80000 - 100) << received;
    EXPECT_TRUE(covered.ranges[0].open_ended);
  }
}

TEST_F(CoverageTest, ADamagedEndShortensTheRangeAndIsSaid) {
  snapshot(one, segment(3) + 40, segment(3) + 4000, at(5));
  for (const std::uint64_t number : {3U, 4U, 5U})
    seal(one, number, at(static_cast<std::int64_t>(number) * 10));
  const auto name = space_.object_name(wal_object_name(one, segment(5), segment_bytes));
  auto content = space_.store().get(name).value();
  content[content.size() - 30] ^= std::byte{1};
  ASSERT_TRUE(space_.store().remove(name));
  ASSERT_TRUE(space_.store().put(name, content));
  EXPECT_EQ(coverage().ranges.at(0).to_time, at(40));
  EXPECT_FALSE(coverage().ranges.at(0).open_ended) << "more WAL is here, and follows no snapshot";
  const auto damaged = coverage().damaged_wal;
  ASSERT_EQ(damaged.size(), 1U);
  EXPECT_EQ(damaged[0].timeline, one);
  EXPECT_EQ(damaged[0].error.code(), ErrorCode::damaged);
}

// The WAL of a real server, its last segment only in a tail.
TEST_F(CoverageTest, ReadsTheTailOfRealWal) {
  const WalSample sample(15);
  const Lsn tail_start{sample.end().value - segment_bytes};
  auto reader = sample.reader();
  WalIndexBuilder builder(sample.start);
  Timestamp latest;
  for (Lsn start = sample.start; start < tail_start; start += segment_bytes) {
    const auto bytes = ByteView(sample.bytes).subspan(start - sample.start, segment_bytes);
    ASSERT_TRUE(reader.feed(bytes, builder));
    auto writer = WalSegmentWriter::create(space_, one, start, segment_bytes, system_clock(), 1).value();
    ASSERT_TRUE(writer.append(bytes));
    const auto index = builder.seal_segment(start + segment_bytes);
    latest = std::max(latest, index.last_end_time);
    ASSERT_TRUE(writer.commit({{42}, one, start, start + segment_bytes, latest, index}));
  }
  const auto rest = ByteView(sample.bytes).subspan(tail_start - sample.start);
  {
    auto tail = WalTailWriter::create(space_, one, tail_start, segment_bytes).value();
    ASSERT_TRUE(tail.append(rest));
    ASSERT_TRUE(tail.mark({sample.end(), at(1'000'000'000)}));
    ASSERT_TRUE(tail.sync());
  }
  ASSERT_TRUE(reader.feed(rest, builder));
  snapshot(one, sample.start + 40, sample.start + 4000, at(-1'000'000'000));

  const auto range = coverage().ranges.at(0);
  EXPECT_EQ(range.to_lsn, reader.valid_to());
  EXPECT_EQ(range.to_time, at(1'000'000'000));
  EXPECT_EQ(range.last_commit, std::max(latest, builder.seal_segment(sample.end()).last_end_time));

  const auto inventory = WalInventory::load(space_, segment_bytes).value();
  Bytes read;
  EXPECT_EQ(read_wal(space_, inventory, one, sample.start + 5, {UINT64_MAX},
                     [&](Lsn, ByteView bytes) -> Result<bool> {
                       append(read, bytes);
                       return true;
                     })
                .value(),
            sample.end());
  EXPECT_TRUE(std::ranges::equal(read, ByteView(sample.bytes).subspan(5)));
}

TEST_F(CoverageTest, TailsOfSeveralReceiversMakeOneSegment) {
  const Bytes bytes(1000, std::byte{7});
  const auto put = [&](std::size_t from, std::size_t count) {
    auto tail = WalTailWriter::create(space_, one, segment(3) + from, segment_bytes).value();
    EXPECT_TRUE(tail.append(ByteView(bytes).first(count)));
    EXPECT_TRUE(tail.sync());
  };
  put(0, 400);
  put(300, 300);
  put(600, 50);
  put(700, 10);  // beyond a hole
  const auto inventory = WalInventory::load(space_, segment_bytes).value();
  EXPECT_EQ(read_wal_segment(space_, inventory, one, segment(3)).value().bytes.size(), 650U);
}

// As a receiver does that begins in the middle of a segment.
TEST_F(CoverageTest, ATailThatAStreamHasReplacedMeanwhileIsLookedForAgain) {
  const WalSample sample(15);
  const auto put = [&](std::size_t bytes) {
    auto tail = WalTailWriter::create(space_, one, sample.start, segment_bytes).value();
    EXPECT_TRUE(tail.append(ByteView(sample.bytes).first(bytes)));
    EXPECT_TRUE(tail.sync());
    return tail.name();
  };
  snapshot(one, sample.start + 40, sample.start + 4000, at(5));
  const auto old = put(100'000);
  store_->before_a_tail_is_read = [&] {
    put(200'000);
    ASSERT_TRUE(space_.store().remove(space_.object_name(old)));
  };
  const auto covered = coverage();
  EXPECT_FALSE(store_->before_a_tail_is_read) << "it happened";
  EXPECT_TRUE(covered.damaged_wal.empty());
  ASSERT_EQ(covered.ranges.size(), 1U);
  EXPECT_GT(covered.ranges[0].to_lsn, sample.start + 100'000);
}

TEST_F(CoverageTest, ASegmentUnderAnotherNameIsDamaged) {
  seal(one, 3, at(30));
  const auto from = space_.object_name(wal_object_name(one, segment(3), segment_bytes));
  const auto to = space_.object_name(wal_object_name(one, segment(4), segment_bytes));
  ASSERT_TRUE(space_.store().put(to, space_.store().get(from).value()));
  const auto inventory = WalInventory::load(space_, segment_bytes).value();
  EXPECT_EQ(read_wal_segment(space_, inventory, one, segment(4)).error().code(), ErrorCode::damaged);
}

TEST_F(CoverageTest, ASnapshotWithoutAllItsPacksIsDamaged) {
  seal(one, 3, at(30));
  const PackId whole = new_pack_id(system_clock());
  const PackId empty = new_pack_id(system_clock());
  const PackId missing = new_pack_id(system_clock());
  const auto put = [&](PackId id, std::string_view content) {
    ASSERT_TRUE(space_.store().put(space_.object_name(pack_name(id)), as_byte_view(content)));
  };
  put(whole, "x");
  put(empty, "");
  const auto good = snapshot(one, segment(3), segment(3) + 100, at(1), {whole});
  const auto cut = snapshot(one, segment(3), segment(3) + 200, at(2), {whole, empty});
  const auto gone = snapshot(one, segment(3), segment(3) + 300, at(3), {missing, empty});
  const auto found = coverage();
  EXPECT_EQ(found.ranges.at(0).snapshots, std::vector{good});
  ASSERT_EQ(found.damaged_snapshots.size(), 2U);
  EXPECT_EQ(found.damaged_snapshots[0].id, cut);
  EXPECT_EQ(found.damaged_snapshots[0].error.describe(), "1 of its 2 packs is gone or empty");
  EXPECT_EQ(found.damaged_snapshots[1].id, gone);
  EXPECT_EQ(found.damaged_snapshots[1].error.describe(), "2 of its 2 packs are gone or empty");
}

// Anyone who can write to the repository can make up a name, or copy an object of ours to it.
TEST_F(CoverageTest, AFileNamedAsANewerTimelineIsNone) {
  seal(one, 3, at(30));
  snapshot(one, segment(3), segment(3) + 100, at(1));
  const auto before = coverage();
  const auto name = [&](TimelineId timeline) {
    return space_.object_name(wal_object_name(timeline, segment(4), segment_bytes));
  };
  ASSERT_TRUE(space_.store().put(name(two), as_byte_view("junk")));
  const auto real = space_.object_name(wal_object_name(one, segment(3), segment_bytes));
  ASSERT_TRUE(space_.store().put(name(TimelineId{9}), space_.store().get(real).value()));
  ASSERT_TRUE(space_.store().put(space_.object_name("timelines/00000002"), as_byte_view("junk")));
  const auto after = coverage();
  EXPECT_EQ(after.current_timeline, one);
  const auto inventory = WalInventory::load(space_, segment_bytes).value();
  EXPECT_EQ(current_timeline_with_wal(space_, inventory).value(), one) << "a stream goes on there";
  EXPECT_EQ(after.ranges.size(), before.ranges.size());
  ASSERT_EQ(after.damaged_wal.size(), 2U);
  EXPECT_EQ(after.damaged_wal[0].timeline, two);
  EXPECT_EQ(after.damaged_wal[1].timeline, TimelineId{9});
}

// The bytes from the segment's start to the fork are the old timeline's, too.
TEST_F(CoverageTest, WhatADamagedForkSegmentHidesIsOnTheOldTimeline) {
  seal(one, 3, at(30));
  seal_partial(one, 4, 0x80000, at(40));
  ASSERT_TRUE(put_timeline_history(space_, two,
                                   as_byte_view(fmt::format("1\t{}\tpromoted\n", segment(4) + 0x80000))));
  ASSERT_TRUE(space_.store().put(space_.object_name(wal_object_name(two, segment(4), segment_bytes)),
                                 as_byte_view("junk")));
  snapshot(one, segment(3), segment(3) + 100, at(1));
  const auto found = coverage();
  ASSERT_FALSE(found.ranges.empty());
  const auto& last = found.ranges.back();
  EXPECT_EQ(last.timeline, one);
  EXPECT_EQ(last.to_lsn.value, segment(4).value + 0x80000 - 100);
}

TEST_F(CoverageTest, ATimelineWithoutItsHistoryIsNotCovered) {
  seal(two, 3, at(30));
  snapshot(two, segment(3), segment(3) + 100, at(1));
  const auto found = coverage();
  EXPECT_TRUE(found.ranges.empty());
  ASSERT_EQ(found.damaged_histories.size(), 1U);
  EXPECT_EQ(found.damaged_histories[0].timeline, two);
}

TEST_F(CoverageTest, NamesThatAreNoWalAreKeptApart) {
  ASSERT_TRUE(space_.store().put(space_.object_name("wal/00000001/notes"), as_byte_view("x")));
  ASSERT_TRUE(
      space_.store().put(space_.object_name("wal/00000002/000000010000000000000003"), as_byte_view("x")));
  const auto inventory = WalInventory::load(space_, segment_bytes).value();
  EXPECT_EQ(inventory.unknown_names().size(), 2U);
  EXPECT_TRUE(inventory.timelines().empty());
}

TEST_F(CoverageTest, TwoHistoriesOfOneTimelineAreRefused) {
  const auto first = as_byte_view("1\t0/480000\tno recovery target specified\n");
  ASSERT_TRUE(put_timeline_history(space_, two, first));
  EXPECT_TRUE(put_timeline_history(space_, two, first));
  EXPECT_EQ(put_timeline_history(space_, two, as_byte_view("1\t0/490000\tx\n")).error().code(),
            ErrorCode::already_exists);
}

// The source has it: a stream that begins stores it again.
TEST_F(CoverageTest, ADamagedHistoryMakesRoomForTheSources) {
  const auto history = as_byte_view("1\t0/480000\tno recovery target specified\n");
  ASSERT_TRUE(put_timeline_history(space_, two, history));
  const auto name = space_.object_name("timelines/00000002");
  auto content = space_.store().get(name).value();
  content.back() ^= std::byte{1};
  ASSERT_TRUE(space_.store().remove(name));
  ASSERT_TRUE(space_.store().put(name, content));
  ASSERT_EQ(get_timeline_history(space_, two).error().code(), ErrorCode::damaged);
  ASSERT_TRUE(put_timeline_history(space_, two, history));
  EXPECT_EQ(stored_history(space_, two).value().ancestors.size(), 1U);
}

// As a source that sent anything but its history left it.
TEST_F(CoverageTest, AHistoryThatIsNoneMakesRoomForTheSources) {
  ASSERT_TRUE(put_timeline_history(space_, two, as_byte_view("garbage\n")));
  ASSERT_EQ(get_timeline_history(space_, two).error().code(), ErrorCode::damaged);
  ASSERT_TRUE(put_timeline_history(space_, two, as_byte_view("1\t0/480000\tx\n")));
  EXPECT_EQ(stored_history(space_, two).value().ancestors.size(), 1U);
}

}  // namespace
}  // namespace pgstrata
