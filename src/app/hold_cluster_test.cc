// What is held is there after a prune that would have let it go.
#include "app/hold_cluster.h"

#include <gmock/gmock.h>

#include "restore/restore_test_support.h"
#include "retention/prune.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;

class HoldClusterTest : public ::testing::Test {
 protected:
  HoldClusterTest() : registered_{*cluster_.space, {}} {
    registered_.record.system_identifier = SampleCluster::system();
    registered_.record.wal_segment_bytes = segment_bytes;
    cluster_.seal(0, 4);
    const auto& records = sample_records().all;
    first_ = cluster_.snapshot(records[5], records[8], data_directory_files());
    const auto last = records.size() - 10;
    second_ = cluster_.snapshot(records[last], records[last + 3], data_directory_files());
  }

  Result<Hold> hold(decltype(HoldRequest::what) what) {
    return add_hold(registered_, {std::move(what), "case 4711", {}}, system_clock(), cluster_.cancellation);
  }
  void prune() {
    RetentionPolicy policy;
    policy.window = std::chrono::seconds(0);  // the sample took less than one
    const PruneRequest request{.wal_segment_bytes = segment_bytes,
                               .policy = policy,
                               .clock = system_clock(),
                               .cancellation = cluster_.cancellation,
                               .still_allowed = [] { return Result<void>(); }};
    must(prune_cluster(*cluster_.space, request));
  }
  static RecoveryTarget at(Lsn lsn) { return {LsnTarget{lsn}, true, {}}; }

  SampleCluster cluster_;
  RegisteredCluster registered_;
  SnapshotRecord first_;
  SnapshotRecord second_;
};

TEST_F(HoldClusterTest, OfARangeEachMomentComesBack) {
  const auto& transactions = sample_records().transactions;
  std::vector<Lsn> within;
  for (const auto& transaction : transactions) {
    const bool between = transaction.start > first_.consistent_lsn && transaction.end < second_.start_lsn;
    if (between) within.push_back(transaction.start);
  }
  ASSERT_GE(within.size(), 3U);
  within.resize(3);
  const auto held = must(hold(HeldRange{at(within.front()), at(within.back())}));
  EXPECT_EQ(held.snapshot, first_.id);
  EXPECT_GT(held.to_lsn, within.back());
  prune();
  EXPECT_THAT(must(list_snapshot_ids(*cluster_.space)), ElementsAre(first_.id, second_.id));
  for (const Lsn lsn : within) {
    const auto plan = must(cluster_.plan(LsnTarget{lsn}));
    EXPECT_EQ(plan.snapshot.id, first_.id);
    EXPECT_EQ(must(find_damaged_wal(*cluster_.space, plan, cluster_.cancellation)), std::nullopt);
  }
  ASSERT_TRUE(remove_hold(*cluster_.space, held.id));
  prune();
  EXPECT_THAT(must(list_snapshot_ids(*cluster_.space)), ElementsAre(second_.id));
}

TEST_F(HoldClusterTest, WhatCannotBeHadIsNotHeld) {
  EXPECT_EQ(code_of(hold(HeldSnapshot{"20200101-000000-0000"})), "not_found");
  EXPECT_EQ(code_of(hold(at({1}))), "outside_coverage");
  EXPECT_EQ(code_of(hold(HeldRange{at(second_.consistent_lsn), at(first_.consistent_lsn)})),
            "outside_coverage");
  EXPECT_TRUE(must(list_holds(*cluster_.space)).holds.empty());
  EXPECT_EQ(must(hold(HeldSnapshot{first_.id})).to_lsn, first_.consistent_lsn);
  EXPECT_EQ(must(hold(RecoveryTarget{})).snapshot, second_.id);
}

}  // namespace
}  // namespace pgstrata::testing
