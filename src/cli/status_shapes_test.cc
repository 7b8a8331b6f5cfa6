#include "cli/status_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

RepositoryStatus status_with(const ReplayDebts& debts) {
  RepositoryStatus status;
  status.clusters.emplace_back();
  status.clusters[0].name = "app";
  status.clusters[0].replay_debts = debts;
  return status;
}

WorstReplayDebt worst(std::chrono::milliseconds time, bool sampled) {
  return {{time, sampled}, TimelineId{1}, "20261121-100305-1f2e", Lsn{0x5000000}};
}

TEST(StatusShapes, SayTheReplayDebtNowAndAtWorst) {
  using std::chrono::milliseconds;
  const auto status = status_with({ReplayDebt{milliseconds(420)}, worst(milliseconds(12'500), false)});
  const Json cluster = json_status(status).at("clusters").at(0);
  EXPECT_EQ(cluster.at("replay_debt_seconds"), 0.42);
  EXPECT_EQ(cluster.at("worst_replay_debt_seconds"), 12.5);
  EXPECT_THAT(
      text_status(status),
      HasSubstr("  replay debt    0.4 s, 12 s at worst (from snapshot 20261121-100305-1f2e to 0/5000000)\n"));
}

TEST(StatusShapes, ASampledReplayDebtIsAbout) {
  const auto status = status_with({std::nullopt, worst(std::chrono::seconds(70), true)});
  EXPECT_TRUE(json_status(status).at("clusters").at(0).at("replay_debt_seconds").is_null());
  EXPECT_THAT(text_status(status), HasSubstr("  replay debt    about 1 min 10 s at worst (from"));
}

TEST(StatusShapes, WithoutCoverageTheReplayDebtIsUnknown) {
  const auto status = status_with({});
  EXPECT_TRUE(json_status(status).at("clusters").at(0).at("worst_replay_debt_seconds").is_null());
  EXPECT_THAT(text_status(status), HasSubstr("  replay debt    unknown (no coverage)\n"));
}

}  // namespace
}  // namespace pgstrata
