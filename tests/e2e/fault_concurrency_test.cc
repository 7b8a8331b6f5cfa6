// Two at once.
#include <csignal>

#include "e2e/held_checkpoint.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;

class FaultConcurrencyTest : public FaultTest {
 protected:
  static void fill(const PostgresServer& server) {
    server.query(
        "CREATE TABLE big AS SELECT n, (SELECT string_agg(md5(n::text || k::text), '') FROM "
        "generate_series(1, 30) k) AS x FROM generate_series(1, 110000) n");
  }
  void expect_held(const ProgramRun& run, const std::string& what, pid_t holder) const {
    expect_clear(run, 7, fmt::format("{} of app is held by process {} on host ", what, holder));
    EXPECT_THAT(run.err, HasSubstr(" since 20"));
  }
};

TEST_F(FaultConcurrencyTest, ASecondBackupOrStreamIsToldWhoIsAtWork) {
  PostgresServer server;
  protect(server);
  fill(server);
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  const auto backup = start_pgstrata({"backup", "app", "--base"});
  wait_for_lease("backup");
  halt(backup->pid());
  expect_held(pgstrata({"backup", "app", "--base"}), "backup", backup->pid());
  expect_held(pgstrata({"stream", "app"}), "stream", stream->pid());
  ASSERT_EQ(::kill(backup->pid(), SIGCONT), 0);
  const ProgramRun done = backup->wait();
  EXPECT_EQ(done.exit_code, 0) << done.describe();
  EXPECT_TRUE(stream->running());
  EXPECT_EQ(stream->terminate().exit_code, 0);
  EXPECT_EQ(snapshots(), 1U);
  ok({"verify"});
}

TEST_F(FaultConcurrencyTest, WhatADeadHolderHeldIsTakenOverAtOnce) {
  PostgresServer server;
  protect(server);
  fill(server);
  const auto dead_stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  const auto dead_backup = start_pgstrata({"backup", "app", "--base"});
  wait_for_lease("backup");
  dead_stream->kill9();
  dead_backup->kill9();
  EXPECT_TRUE(status().at("stream").is_null());
  EXPECT_TRUE(status().at("backup").is_null());
  const auto begun = std::chrono::steady_clock::now();
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(15)) << "a lease lives 30 s";
  ok({"backup", "app", "--base"});
  EXPECT_EQ(stream->terminate().exit_code, 0);
}

TEST_F(FaultConcurrencyTest, AStreamBegunWhileALoneBackupRunsWaitsForItsEnd) {
  PostgresServer server;
  protect(server);
  server.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  auto held = std::make_unique<HeldCheckpoint>(server);
  const auto backup = start_pgstrata({"backup", "app", "--base", "--output", "json"});
  wait_for_backup_to_wait(server);
  const auto stream = start_pgstrata({"stream", "app"});
  stream->wait_for_output(
      fmt::format("the backup of process {} receives the WAL it needs itself", backup->pid()));
  EXPECT_EQ(status().at("stream").at("process_id"), backup->pid());
  held.reset();
  const ProgramRun done = backup->wait();
  ASSERT_EQ(done.exit_code, 0) << done.describe();
  EXPECT_EQ(Json::parse(done.out).at("beside_stream"), false);
  wait_until("the stream to begin", [&] {
    const Json holder = status().at("stream");
    return holder.is_object() && holder.at("process_id") == stream->pid();
  });
  server.query("UPDATE t SET n = -1 WHERE n = 1");
  wait_flushed(server);
  EXPECT_EQ(stream->terminate().exit_code, 0);
  EXPECT_EQ(status().at("coverage").size(), 1U);
  server.kill9();
  EXPECT_EQ(restored()->query_value("SELECT min(n) || ' ' || count(*) FROM t"), "-1 1000");
}

TEST_F(FaultConcurrencyTest, ABackupWhoseStreamIsKilledBringsItsOwnWal) {
  PostgresServer server;
  protect(server);
  server.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  auto held = std::make_unique<HeldCheckpoint>(server);
  const auto backup = start_pgstrata({"backup", "app", "--base", "--output", "json"});
  wait_for_backup_to_wait(server);
  EXPECT_EQ(status().at("stream").at("process_id"), stream->pid()) << "the backup relies on it";
  stream->kill9();
  server.query("UPDATE t SET n = -n");
  held.reset();
  const ProgramRun done = backup->wait();
  ASSERT_EQ(done.exit_code, 0) << done.describe();
  EXPECT_EQ(Json::parse(done.out).at("beside_stream"), false);
  EXPECT_EQ(status().at("coverage").size(), 1U);
  ok({"verify"});
  server.kill9();
  EXPECT_EQ(restored()->query_value("SELECT max(n) || ' ' || count(*) FROM t"), "-1 1000");
}

}  // namespace
}  // namespace pgstrata::testing
