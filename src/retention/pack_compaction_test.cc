#include "retention/pack_compaction.h"

#include "retention/retention_test_support.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;

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
  const auto prepare = [this](PassingCluster& cluster) { live(cluster, 6); };
  PassingCluster whole;
  prepare(whole);
  const auto contents = contents_of(whole);
  constexpr std::uint64_t before_it_removes = 30;
  at_each_step_of_prune(prepare, policy, before_it_removes, [&](PassingCluster& cluster) {
    const auto after = contents_of(cluster);
    EXPECT_EQ(after.size(), 3U);
    for (const auto& [time, content] : after) EXPECT_EQ(contents.at(time), content);
    EXPECT_EQ(cluster.snapshot_ids().size(), 3U);
  });
}

}  // namespace
}  // namespace pgstrata::testing
