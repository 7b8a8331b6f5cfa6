#include "catalog/replay_debt.h"

#include <set>

#include <gtest/gtest.h>

#include "catalog/wal_segment.h"
#include "catalog/wal_tail.h"
#include "pg/format/wal_samples_for_test.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t one_second = replayed_records_per_second;  // in records
constexpr milliseconds forever = milliseconds::max() / 1000;

// Notes which objects are read.
class StoreThatNotesReads : public MemoryStore {
 public:
  std::set<std::string, std::less<>> read_names;

  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    read_names.emplace(name);
    return MemoryStore::read_some(name, offset, into);
  }
};

class ReplayDebtTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t segment_bytes = 1U << 20;
  static constexpr TimelineId one{1};
  static constexpr TimelineId two{2};
  static Lsn segment(std::uint64_t number) { return {number * segment_bytes}; }

  struct Work {
    std::uint64_t records = 0;
    std::uint64_t page_image_bytes = 0;
    std::uint64_t records_bytes = segment_bytes;  // how far into the segment its last record ends
    std::vector<IndexedCheckpoint> checkpoints{};
  };

  void seal(std::uint64_t number, const Work& work, TimelineId timeline = one) {
    WalSegmentSummary summary{{42}, timeline, segment(number), segment(number + 1), {1}, {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.end_lsn;
    summary.index.major_version = 15;
    summary.index.records = work.records;
    summary.index.page_image_bytes = work.page_image_bytes;
    summary.index.last_record_start = summary.start_lsn;
    summary.index.last_record_end = segment(number) + work.records_bytes;
    summary.index.checkpoints = work.checkpoints;
    seal(summary, Bytes(segment_bytes, std::byte{0x5A}));
  }

  void seal(const WalSegmentSummary& summary, ByteView bytes) {
    auto writer = WalSegmentWriter::create(space_, summary.timeline, summary.start_lsn, segment_bytes,
                                           system_clock(), 1)
                      .value();
    ASSERT_TRUE(writer.append(bytes));
    ASSERT_TRUE(writer.commit(summary));
  }

  void tail(Lsn start, ByteView bytes) {
    auto writer = WalTailWriter::create(space_, one, start, segment_bytes).value();
    ASSERT_TRUE(writer.append(bytes));
    ASSERT_TRUE(writer.sync());
  }

  void damage(std::uint64_t number) {
    const auto name = space_.object_name(wal_object_name(one, segment(number), segment_bytes));
    ASSERT_TRUE(space_.store().remove(name));
    ASSERT_TRUE(space_.store().put(name, as_byte_view("junk")));
  }

  std::string snapshot(Lsn start, TimelineId timeline = one) {
    SnapshotRecord record;
    record.id = fmt::format("20261121-1000{:02}-0000", ++snapshots_);
    record.timeline = timeline;
    record.start_lsn = start;
    record.consistent_lsn = start + 100;
    record.consistent_time = {snapshots_};
    EXPECT_TRUE(put_snapshot(space_, record));
    return record.id;
  }

  ReplayMeter meter(std::size_t indexes_limit = default_indexes_limit) {
    return {space_, WalInventory::load(space_, segment_bytes).value(), {{one, {}, no_end}}, indexes_limit};
  }
  ReplayDebt debt(Lsn from, Lsn to) { return meter().debt(from, to, cancellation_).value(); }
  Coverage coverage() { return compute_coverage(space_, segment_bytes, cancellation_).value(); }
  ReplayDebts debts(const Coverage& of, std::size_t indexes_limit = default_indexes_limit) {
    return replay_debts(space_, segment_bytes, of, cancellation_, indexes_limit).value();
  }

  [[nodiscard]] bool was_read(std::uint64_t number) const {
    return store_->read_names.contains(
        space_.object_name(wal_object_name(one, segment(number), segment_bytes)));
  }

  StoreThatNotesReads* store_ = new StoreThatNotesReads;  // the repository's
  Repository repository_ =
      Repository::create(std::unique_ptr<ObjectStore>(store_), NoEncryption{}, system_clock()).value();
  ClusterSpace space_ = repository_.create_cluster("app").value();
  Cancellation cancellation_;
  int snapshots_ = 0;
};

void expect_about(std::chrono::microseconds time, std::chrono::microseconds expected) {
  EXPECT_NEAR(static_cast<double>(time.count()), static_cast<double>(expected.count()), 2000.0);
}

TEST(ReplayTime, IsThatOfTheRecordsAndOfTheirPageImages) {
  WalIndex index;
  EXPECT_EQ(replay_time(index), seconds(0));
  index.records = 2 * replayed_records_per_second;
  EXPECT_EQ(replay_time(index), seconds(2));
  index.page_image_bytes = replayed_page_image_bytes_per_second;
  EXPECT_EQ(replay_time(index), seconds(3));
}

TEST_F(ReplayDebtTest, PartsOfSegmentsCountInProportion) {
  seal(3, {.records = one_second});
  seal(4, {.records = one_second, .page_image_bytes = replayed_page_image_bytes_per_second});
  expect_about(debt(segment(3), segment(5)).time, seconds(3));
  expect_about(debt(segment(3) + segment_bytes / 2, segment(4) + segment_bytes / 4).time, seconds(1));
  EXPECT_FALSE(debt(segment(3), segment(5)).sampled);
  EXPECT_EQ(debt(segment(4), segment(4)).time, seconds(0));
  EXPECT_EQ(debt(segment(4), segment(3)).time, seconds(0));
}

TEST_F(ReplayDebtTest, TheRestOfASwitchedSegmentCountsNothing) {
  seal(3, {.records = one_second, .records_bytes = 1000});
  expect_about(debt(segment(3), segment(3) + 500).time, milliseconds(500));
  expect_about(debt(segment(3), segment(4)).time, seconds(1));
  EXPECT_EQ(debt(segment(3) + 1000, segment(4)).time, seconds(0));
}

TEST_F(ReplayDebtTest, AnUnsealedSegmentCountsAsTheOneBeforeIt) {
  seal(3, {.records = one_second});
  tail(segment(4), Bytes(segment_bytes / 2));
  expect_about(debt(segment(4), segment(4) + segment_bytes / 2).time, milliseconds(500));
  EXPECT_FALSE(debt(segment(4), segment(4) + 10).sampled);
}

TEST_F(ReplayDebtTest, BytesOfWhichNothingIsKnownCountAtTheSlowestRate) {
  tail(segment(4), Bytes(200'000));
  expect_about(debt(segment(4), segment(4) + 200'000).time, milliseconds(10));
  seal(3, {.records = 0});
  expect_about(debt(segment(4), segment(4) + 200'000).time, milliseconds(10));
}

TEST_F(ReplayDebtTest, ADamagedSegmentIsNoError) {
  seal(3, {.records = one_second});
  seal(4, {.records = one_second});
  seal(5, {.records = one_second});
  damage(4);
  const auto found = debt(segment(3), segment(6));
  EXPECT_TRUE(found.sampled);
  expect_about(found.time, seconds(2) + milliseconds(52));
}

TEST_F(ReplayDebtTest, WhereThereIsNoCoverageThereIsNone) {
  seal(3, {.records = one_second});
  const auto found = debts(coverage());
  EXPECT_FALSE(found.now.has_value());
  EXPECT_FALSE(found.worst.has_value());
}

TEST_F(ReplayDebtTest, NowReadsWhatLiesBehindTheNewestSnapshotAndNothingElse) {
  snapshot(segment(3));
  snapshot(segment(6) + segment_bytes / 2);
  for (std::uint64_t number = 3; number < 9; ++number) seal(number, {.records = one_second});
  const auto covered = coverage();
  store_->read_names.clear();
  auto fresh = meter();
  const auto now = replay_debt_now(fresh, covered, cancellation_).value();
  ASSERT_TRUE(now.has_value());
  expect_about(now->time, milliseconds(2500));
  for (std::uint64_t number = 3; number < 9; ++number) EXPECT_EQ(was_read(number), number >= 6) << number;
}

TEST_F(ReplayDebtTest, TheWorstIsJustBeforeTheNextSnapshot) {
  snapshot(segment(3));
  const auto worst = snapshot(segment(4));
  snapshot(segment(6));
  for (const std::uint64_t number : {3U, 4U, 5U, 6U}) seal(number, {.records = one_second});
  const auto found = debts(coverage());
  expect_about(found.now.value().time, seconds(1));
  ASSERT_TRUE(found.worst.has_value());
  expect_about(found.worst->debt.time, seconds(2));
  EXPECT_EQ(found.worst->snapshot, worst);
  EXPECT_EQ(found.worst->to, segment(6) + 100);
  EXPECT_EQ(found.worst->timeline, one);
  EXPECT_FALSE(found.worst->debt.sampled);
}

TEST_F(ReplayDebtTest, TheWorstMayBeInAnEarlierRange) {
  snapshot(segment(3));
  snapshot(segment(8));
  for (const std::uint64_t number : {3U, 4U, 5U, 8U}) seal(number, {.records = one_second});
  const auto covered = coverage();
  ASSERT_EQ(covered.ranges.size(), 2U);
  const auto found = debts(covered);
  expect_about(found.now.value().time, seconds(1));
  expect_about(found.worst.value().debt.time, seconds(3));
}

// Of the timeline that was left, only what lies behind the fork is its own range's.
TEST_F(ReplayDebtTest, FollowsEachRangeOnItsOwnTimeline) {
  snapshot(segment(2));
  snapshot(segment(4));
  for (const std::uint64_t number : {2U, 3U, 4U}) seal(number, {.records = one_second});
  seal(5, {.records = 4 * one_second});
  ASSERT_TRUE(put_timeline_history(space_, two, as_byte_view(fmt::format("1\t{}\tx\n", segment(5) + 100))));
  seal(5, {.records = one_second}, two);
  const auto newest = snapshot(segment(5) + 200, two);
  const auto covered = coverage();
  ASSERT_EQ(covered.ranges.size(), 2U);
  const auto found = debts(covered);
  expect_about(found.now.value().time, seconds(1));
  EXPECT_EQ(found.worst.value().timeline, one);
  EXPECT_EQ(found.worst->snapshot, covered.ranges[1].snapshots.back());
  EXPECT_NE(found.worst->snapshot, newest);
  expect_about(found.worst->debt.time, seconds(5));
}

TEST_F(ReplayDebtTest, OfManySegmentsASampleIsRead) {
  snapshot(segment(3));
  for (std::uint64_t number = 3; number < 23; ++number) seal(number, {.records = one_second});
  const auto covered = coverage();
  store_->read_names.clear();
  auto limited = meter(4);
  const auto found = limited.debt(segment(3), segment(23), cancellation_).value();
  EXPECT_TRUE(found.sampled);
  expect_about(found.time, seconds(20));
  for (std::uint64_t number = 3; number < 23; ++number)
    EXPECT_EQ(was_read(number), (number - 3) % 5 == 0) << number;
  const auto all = debts(covered, 4);
  expect_about(all.worst.value().debt.time, seconds(20));
  EXPECT_TRUE(all.worst->debt.sampled);
}

TEST_F(ReplayDebtTest, TellsTheDebtAtEachCheckpoint) {
  const auto checkpoint = [](Lsn redo, Lsn lsn) { return IndexedCheckpoint{false, redo, lsn}; };
  const auto own = checkpoint(segment(3) + 100, segment(3) + 500);
  const auto first = checkpoint(segment(3) + 1000, segment(4) + segment_bytes / 2);
  const auto second = checkpoint(segment(4) + 1000, segment(5) + segment_bytes / 2);
  const auto third = checkpoint(segment(6), segment(6) + segment_bytes / 2);
  seal(3, {.records = one_second, .checkpoints = {own}});
  seal(4, {.records = one_second, .checkpoints = {first}});
  seal(5, {.records = one_second, .checkpoints = {second}});
  seal(6, {.records = one_second, .checkpoints = {third}});
  const auto list = [&](Lsn to, milliseconds bound) {
    return meter().checkpoints(own.redo, to, bound, cancellation_).value();
  };
  const auto all = list(segment(7), forever);
  ASSERT_EQ(all.size(), 3U) << "its own is none to roll to";
  EXPECT_EQ(all[0].checkpoint, first);
  EXPECT_EQ(all[2].checkpoint, third);
  EXPECT_EQ(all[0].timeline, one);
  expect_about(all[0].time, milliseconds(1500));
  expect_about(all[1].time, milliseconds(2500));
  expect_about(all[2].time, milliseconds(3500));

  EXPECT_EQ(list(third.lsn, forever).size(), 2U) << "the last one's record is not there";
  store_->read_names.clear();
  EXPECT_EQ(list(segment(7), milliseconds(2000)).size(), 2U) << "one within the bound, and the next";
  EXPECT_FALSE(was_read(6));
  damage(5);
  EXPECT_EQ(meter().checkpoints(own.redo, segment(7), forever, cancellation_).error().code(),
            ErrorCode::damaged);
  EXPECT_EQ(meter().checkpoints(own.redo, segment(9), milliseconds(0), cancellation_).value().size(), 1U);
}

// The WAL of a real server, once all sealed and once with its last segment in a tail.
TEST_F(ReplayDebtTest, SeesCheckpointsOfRealWalBeforeItIsSealed) {
  const WalSample sample(15);
  const auto indexes = index_sample(sample, [] { return std::size_t{segment_bytes}; }).value();
  std::vector<IndexedCheckpoint> expected;
  const Lsn from = sample.start + 40;
  std::uint64_t records = 0;
  for (const auto& index : indexes) {
    records += index.records;
    for (const auto& checkpoint : index.checkpoints)
      if (checkpoint.redo > from) expected.push_back(checkpoint);
    const auto bytes = ByteView(sample.bytes).subspan(index.start - sample.start, index.end - index.start);
    if (&index == &indexes.back()) {
      tail(index.start, bytes);
    } else {
      seal({{42}, one, index.start, index.end, index.last_end_time, index}, bytes);
    }
  }
  ASSERT_FALSE(indexes.back().checkpoints.empty()) << "so that one is in the tail";
  const auto found = meter().checkpoints(from, sample.end(), forever, cancellation_).value();
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t at = 0; at < found.size(); ++at) EXPECT_EQ(found[at].checkpoint, expected[at]);
  EXPECT_TRUE(std::ranges::is_sorted(found, {}, &CheckpointDebt::time));
  const auto whole = debt(sample.start, sample.end()).time;
  EXPECT_GT(whole, milliseconds(static_cast<int>(records * 500 / replayed_records_per_second)));
  EXPECT_LT(whole, seconds(2)) << "of " << indexes.size() << " MiB";
}

TEST_F(ReplayDebtTest, CanBeStopped) {
  seal(3, {.records = one_second});
  cancellation_.request();
  EXPECT_EQ(meter().debt(segment(3), segment(4), cancellation_).error().code(), ErrorCode::cancelled);
}

}  // namespace
}  // namespace pgstrata
