// Copies of a cluster (catalog/cluster_copy.h), held against what verify and coverage say of them.
#include "catalog/cluster_copy.h"

#include "check/verify_test.h"
#include "repo/record.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ClusterCopyTest : public VerifyTest {
 protected:
  ClusterCopyTest() {
    // What a registration is made of does not matter here.
    EXPECT_TRUE(put_record(*cluster_.space, "cluster", RecordKind::cluster, as_byte_view("{}")));
  }

  ClusterSpace space_in(ObjectStore& store) const {
    return {store, cluster_.space->name(), cluster_.space->key()};
  }
  Result<CopyReport> copy_to(ObjectStore& store) const {
    const Cancellation cancellation;
    const ClusterSpace to = space_in(store);
    CopyOptions options;
    options.workers = 1;
    options.still_allowed = [] { return Result<void>(); };
    return copy_cluster(*cluster_.space, to, segment_bytes, options, cancellation);
  }
  static VerifyReport verified(const ClusterSpace& space) {
    const Cancellation cancellation;
    VerifyOptions options;
    options.workers = 1;
    return must(verify_cluster(space, segment_bytes, options, cancellation));
  }
  // "timeline from to: snapshots" of each range.
  static std::vector<std::string> coverage_of(const ClusterSpace& space) {
    const Cancellation cancellation;
    std::vector<std::string> ranges;
    for (const auto& range : must(compute_coverage(space, segment_bytes, cancellation)).ranges) {
      ranges.push_back(fmt::format("{} {} {} {} {}: {}", range.timeline, range.from_lsn, range.to_lsn,
                                   range.from_time, range.to_time, fmt::join(range.snapshots, " ")));
    }
    return ranges;
  }
  void expect_equal(const ClusterSpace& copy) const {
    EXPECT_TRUE(verified(copy).sound());
    EXPECT_EQ(coverage_of(copy), coverage_of(*cluster_.space));
    EXPECT_FALSE(coverage_of(copy).empty());
  }
};

TEST_F(ClusterCopyTest, HasAllAndIsSoundWhateverTheStore) {
  MemoryStore memory;
  StoreWithoutJournals without_journals;
  for (MemoryStore* store : {&memory, static_cast<MemoryStore*>(&without_journals)}) {
    const CopyReport report = must(copy_to(*store));
    EXPECT_EQ(report.snapshots, 2U);
    EXPECT_GT(report.objects, 6U);
    EXPECT_TRUE(report.left_out.empty());
    expect_equal(space_in(*store));
    const CopyReport again = must(copy_to(*store));
    EXPECT_EQ(again.objects, 0U);
    EXPECT_EQ(again.objects_there, report.objects);
    EXPECT_EQ(again.snapshots, 2U);
  }
}

TEST_F(ClusterCopyTest, ATailGrowsWithItsSourceAndGoesWithItsSegment) {
  const std::string last = wal_name(3);
  const Bytes sealed = must(cluster_.store.get(last));
  remove(last);
  remove(name_of(second_));
  auto tail = must(WalTailWriter::create(*cluster_.space, TimelineId{1}, segment_at(3), segment_bytes));
  StoreWithoutJournals store;
  const auto copied_tails = [&] {
    const auto inventory = must(WalInventory::load(space_in(store), segment_bytes));
    const auto* segment = inventory.find(TimelineId{1}, segment_at(3));
    return segment == nullptr ? 0 : segment->tails.size();
  };
  for (std::size_t end = 100'000; end < 400'000; end += 100'000) {
    ASSERT_TRUE(tail.append(SampleCluster::segment(3).subspan(end - 100'000, 100'000)));
    ASSERT_TRUE(tail.mark({segment_at(3) + end, {1'795'255'200'000'000 + static_cast<std::int64_t>(end)}}));
    ASSERT_TRUE(tail.sync());
    ASSERT_TRUE(must(copy_to(store)).left_out.empty());
    expect_equal(space_in(store));
    EXPECT_EQ(copied_tails(), 1U);
    EXPECT_EQ(must(copy_to(store)).objects, 0U) << "nothing new";
  }
  ASSERT_TRUE(cluster_.store.put(last, sealed));
  remove(tail_name());
  ASSERT_TRUE(must(copy_to(store)).left_out.empty());
  expect_equal(space_in(store));
  EXPECT_EQ(copied_tails(), 0U);
}

TEST_F(ClusterCopyTest, IsSoundAtEachStepAndGoneOnWith) {
  for (const auto kind : {Fault::Kind::crash, Fault::Kind::error, Fault::Kind::lost_answer}) {
    for (std::uint64_t step = 1;; ++step) {
      MemoryStore beneath;
      FaultStore faulty(beneath, step);
      faulty.set_fault({.kind = kind, .at_step = step});
      const auto cut_short = copy_to(faulty);
      const std::string when = fmt::format("{}", faulty.last_fault());
      if (when.empty()) {
        EXPECT_GT(step, 15U) << "it had steps to fail at";
        break;
      }
      SCOPED_TRACE(when);
      const ClusterSpace space = space_in(beneath);
      ASSERT_TRUE(verified(space).damaged.empty());
      const CopyReport rest = must(copy_to(beneath));
      ASSERT_TRUE(rest.left_out.empty());
      expect_equal(space);
      if (HasFailure()) return;
    }
  }
}

TEST_F(ClusterCopyTest, DamageDoesNotSpread) {
  std::vector<std::string> names{wal_name(1), name_of(first_), name_of(second_)};
  for (const PackId& pack : second_.packs) names.push_back(name_of(pack));
  for (const std::string& name : names) {
    for (const auto* how : {"flipped", "truncated", "removed"}) {
      SCOPED_TRACE(fmt::format("{} {}", name, how));
      const Bytes sound = must(cluster_.store.get(name));
      if (how == std::string_view("flipped")) flip(name);
      if (how == std::string_view("truncated")) truncate(name);
      if (how == std::string_view("removed")) remove(name);
      MemoryStore store;
      const CopyReport report = must(copy_to(store));
      const bool told =
          std::ranges::any_of(report.left_out, [&](const auto& object) { return object.name == name; });
      // Nothing tells of an object that is not there, unless somebody needs it.
      const bool needed = name.find("/packs/") != std::string::npos;
      EXPECT_TRUE(told || (how == std::string_view("removed") && !needed));
      EXPECT_THAT(verified(space_in(store)).damaged, IsEmpty());
      EXPECT_FALSE(store.stat(name));
      // Once it is mended, it is copied.
      if (how == std::string_view("removed")) {
        ASSERT_TRUE(cluster_.store.put(name, sound));
      } else {
        overwrite(cluster_.store, name, sound);
      }
      ASSERT_TRUE(must(copy_to(store)).left_out.empty());
      expect_equal(space_in(store));
    }
  }
}

TEST_F(ClusterCopyTest, WhoHasLostItsLeaseMakesNoSnapshotAppear) {
  MemoryStore store;
  const Cancellation cancellation;
  const ClusterSpace to = space_in(store);
  CopyOptions options;
  options.still_allowed = []() -> Result<void> { return fail(ErrorCode::busy, "taken over"); };
  const auto copied = copy_cluster(*cluster_.space, to, segment_bytes, options, cancellation);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code(), ErrorCode::busy);
  EXPECT_TRUE(must(list_snapshot_ids(to)).empty());
}

// What it sees is what there was before another copy put it.
class StoreWithAnOldListing : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<std::vector<ObjectInfo>> list(std::string_view, std::string_view, std::size_t) override {
    return std::vector<ObjectInfo>();
  }
  Result<void> remove(std::string_view name) override {
    removed.emplace_back(name);
    return BorrowedStore::remove(name);
  }
  std::vector<std::string> removed;
};

TEST_F(ClusterCopyTest, WhatAnotherCopyHasPutStays) {
  MemoryStore store;
  must(copy_to(store));
  StoreWithAnOldListing late(store);
  must(copy_to(late));
  EXPECT_THAT(late.removed, IsEmpty());
  expect_equal(space_in(store));
}

}  // namespace
}  // namespace pgstrata::testing
