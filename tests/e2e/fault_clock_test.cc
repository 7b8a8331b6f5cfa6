// Clocks that step back: the source's and our own.
#include "e2e/fault_test.h"
#include "support/commit_ledger.h"
#include "support/false_clock.h"
#include "support/test_seed.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using FaultClockTest = FaultTest;
constexpr std::chrono::hours back{-2};

std::string clock_of(const PostgresServer& server) {
  return server.query_value("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
}

TEST_F(FaultClockTest, TheSourcesStepsBackWhileItStreamsAndNothingIsLost) {
  FalseClock clock;
  PostgresServer server({.environment = clock.environment()});
  protect(server);
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = test_seed(7)});
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  ok({"backup", "app", "--base"});
  ledger.start();
  ledger.wait_for_commits(200);
  const auto before = clock_of(server);
  clock.set(back);
  ASSERT_LT(clock_of(server), before) << "the server's clock is not false";
  const auto acknowledged = ledger.acknowledged_count();
  ledger.wait_for_commits(acknowledged + 200);
  const auto after = server.query_value("SELECT pg_current_wal_flush_lsn()");
  ledger.wait_for_commits(acknowledged + 400);
  ledger.stop();
  wait_flushed(server);
  EXPECT_TRUE(stream->running());
  const auto covered = status();
  EXPECT_EQ(covered.at("coverage").size(), 1U);
  EXPECT_EQ(stream->terminate().exit_code, 0);
  server.stop();

  EXPECT_THAT(ledger.check_all(restored()->conninfo()), IsEmpty());
  const auto by_lsn = restored({"--lsn", after}, "by_lsn");
  EXPECT_THAT(ledger.check_lsn(by_lsn->conninfo(), parse_lsn(after).value()), IsEmpty());
}

// A backup and a stream go by no wall clock of ours: not in what is newest, not in who holds a lease.
TEST_F(FaultClockTest, OursStepsBackBetweenAndDuringOurRuns) {
  FalseClock clock;
  auto ours = environment();
  ours.merge(clock.environment());
  PostgresServer server;
  protect(server);
  server.query("CREATE TABLE t AS SELECT 1 AS n");
  ASSERT_EQ(run_pgstrata({"backup", "app", "--base"}, ours).exit_code, 0);
  BackgroundPgstrata stream({"stream", "app"}, ours);
  wait_for_lease("stream");
  server.query("UPDATE t SET n = 2");
  clock.set(back);
  server.query("UPDATE t SET n = 3");
  wait_flushed(server);
  const auto backup = run_pgstrata({"backup", "app", "--base"}, ours);
  EXPECT_EQ(backup.exit_code, 0) << backup.describe();
  server.query("UPDATE t SET n = 4");
  wait_flushed(server);
  const auto second = run_pgstrata({"stream", "app"}, ours);
  EXPECT_EQ(second.exit_code, 7) << second.describe();
  EXPECT_TRUE(stream.running()) << stream.errors();
  EXPECT_EQ(stream.terminate().exit_code, 0);
  const auto listed = json_of({"snapshot", "list", "app"}).at("snapshots");
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(status().at("last_snapshot").at("id"), listed.at(1).at("id"));
  EXPECT_LT(listed.at(1).at("started"), listed.at(0).at("started"))
      << "the newest by the WAL, not by the clock";
  EXPECT_EQ(status().at("coverage").size(), 1U);
  server.stop();
  EXPECT_EQ(restored()->query_value("SELECT n FROM t"), "4");
  EXPECT_EQ(ok({"verify"}).exit_code, 0);
}

}  // namespace
}  // namespace pgstrata::testing
