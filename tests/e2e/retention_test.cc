// Retention with the program, a real source and what is still to be had afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RetentionTest : public BranchedRowsTest {
 protected:
  Json prune(std::vector<std::string> flags = {}) {
    flags.insert(flags.begin(), {"prune", "app", "--config", policy_.string()});
    return json_of(flags).at("clusters").at(0);
  }
  // A snapshot from which the window is already over when the next one is made.
  std::string snapshot_and_later() {
    const std::string id = backup().at("id");
    const std::string time = server_time(source_);
    wait_until("the window to pass", [&] {
      return source_.query_value(fmt::format("SELECT now() > '{}'::timestamptz + interval '2 s'", time)) ==
             "t";
    });
    add_rows(1);
    return id;
  }
  std::vector<std::string> ids() const {
    std::vector<std::string> ids;
    for (const auto& snapshot : snapshots()) ids.push_back(snapshot.at("id"));
    return ids;
  }
  const std::filesystem::path policy_ = directory().write("retention.toml", "[retention]\nwindow = \"1s\"\n");
  std::string verified() const { return pgstrata({"verify", "app"}).out; }
};

TEST_F(RetentionTest, WhatIsInUseOrHeldStaysAndTheRestGoes) {
  protect_rows();
  const std::string first = ids().front();
  const std::string held = snapshot_and_later();
  const std::string dropped = snapshot_and_later();
  const std::string last = snapshot_and_later();
  ASSERT_EQ(ids(), (std::vector<std::string>{first, held, dropped, last}));
  const auto look = branch("look", {"--lsn", snapshots().at(0).at("consistent_lsn").get<std::string>()});
  ASSERT_EQ(look.created().at("snapshot"), first);
  json_of({"hold", "add", "app", "--snapshot", held, "--reason", "the auditors"});
  const auto holds = json_of({"hold", "list", "app"}).at("holds");
  ASSERT_EQ(holds.size(), 2U);
  EXPECT_THAT(holds.at(0).at("reason").get<std::string>(), HasSubstr("branch look on "));

  const auto dropped_lsn = snapshots().at(2).at("consistent_lsn").get<std::string>();
  const auto foreseen = prune({"--dry-run"});
  EXPECT_EQ(ids().size(), 4U);
  EXPECT_GT(foreseen.at("freed_bytes"), 0);
  const auto pruned = prune();
  EXPECT_EQ(pruned.at("coverage_after"), foreseen.at("coverage_after"));
  EXPECT_EQ(ids(), (std::vector<std::string>{first, held, last}));
  EXPECT_THAT(verified(), AllOf(HasSubstr("sound"), Not(HasSubstr("gap"))));
  for (const auto& problem : json_of({"status", "app"}).at("clusters").at(0).at("problems"))
    EXPECT_NE(problem.at("code"), "coverage_gap") << problem;
  EXPECT_THAT(pgstrata({"status", "app"}).out, HasSubstr("2 snapshots of "));

  // The branch reads what it has not read yet, with the snapshot and its WAL there.
  EXPECT_EQ(look.value("SELECT count(*) > 0 FROM pg_proc"), "t");
  branch_json("stop", "look");
  EXPECT_EQ(moved("start", "look").value("SELECT count(*) > 0 FROM pg_depend"), "t");
  // Of a moment that is not covered any more nothing is claimed.
  EXPECT_EQ(run_branch("create", {"gone", "--lsn", dropped_lsn}).exit_code, 4);
  EXPECT_EQ(restore_and_start("latest", {"--latest"})->query_value(count), source_.query_value(count));

  branch_json("delete", "look");
  EXPECT_EQ(json_of({"hold", "list", "app"}).at("holds").size(), 1U);
  prune();
  EXPECT_EQ(ids(), (std::vector<std::string>{held, last}));
  EXPECT_THAT(verified(), HasSubstr("sound"));
}

}  // namespace
}  // namespace pgstrata::testing
