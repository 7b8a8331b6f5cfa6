// `stream --roll`: the newest moment stays near a snapshot, whatever is written, with nothing else at work.
#include <algorithm>

#include "e2e/roll_test.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

class StreamRollTest : public RollTest {
 protected:
  static constexpr double bound_seconds = 1;  // 300,000 rows owe more

  [[nodiscard]] std::size_t rolled() const {
    const Json all = snapshots();
    return static_cast<std::size_t>(
        std::ranges::count_if(all, [](const Json& snapshot) { return snapshot.at("kind") == "rolled"; }));
  }
  [[nodiscard]] double debt_seconds() const {
    return json_of({"status", "app"}).at("clusters").at(0).at("replay_debt_seconds").get<double>();
  }
};

TEST_F(StreamRollTest, KeepsTheDebtLow) {
  PostgresServer source({.settings = {"autovacuum = off", "checkpoint_timeout = 1h"}});
  source.start();
  protect(source);
  backup();
  source.query("CREATE TABLE written(id int, note text)");
  source.query("GRANT pg_checkpoint TO backup");
  start_stream(source, {"--roll", "--roll-bound", "1s", "--checkpoint"});
  for (std::size_t rolls = 0; rolls < 2;) {
    source.query("INSERT INTO written SELECT n, md5(n::text) FROM generate_series(1, 300000) n");
    wait_until(
        "the debt to be within the bound", [&] { return rolled() > rolls && debt_seconds() < bound_seconds; },
        std::chrono::minutes(2));
    rolls = rolled();
  }
  const auto expected = source.query_value("SELECT count(*) FROM written");
  stop_stream();
  expect_no_leftovers();
  const Json branch = json_of({"branch", "create", "app", "look"});
  EXPECT_EQ(SqlConnection(branch.at("url").get<std::string>()).value("SELECT count(*) FROM written"),
            expected);
  json_of({"branch", "delete", "app", "look"});
}

// Without a checkpoint of the source there is nothing to roll to, and nobody asks for one unless told.
TEST_F(StreamRollTest, AsksTheSourceForNothingUnlessTold) {
  PostgresServer source(
      {.settings = {"autovacuum = off", "checkpoint_timeout = 1h", "log_checkpoints = on"}});
  source.start();
  protect(source);
  backup();
  source.query("CREATE TABLE written(id int)");
  const auto before = checkpoints_begun(source);
  start_stream(source, {"--roll", "--roll-bound", "1s"});
  source.query("INSERT INTO written SELECT n FROM generate_series(1, 300000) n");
  wait_until(
      "the debt is seen", [&] { return debt_seconds() > bound_seconds; }, std::chrono::minutes(1));
  source.query("CHECKPOINT");
  wait_until(
      "the source's own checkpoint is rolled to", [&] { return rolled() == 1; }, std::chrono::minutes(2));
  EXPECT_EQ(checkpoints_begun(source), before + 1);
  stop_stream();
}

}  // namespace
}  // namespace pgstrata::testing
