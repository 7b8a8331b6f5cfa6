// Two at once, and being told to stop.
#include <csignal>

#include "e2e/fault_test.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
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
  // Sends the signal and returns how it ended; tells how long that took.
  static ProgramRun stop(BackgroundPgstrata& program, int signal_number, const std::string& what) {
    const auto begun = std::chrono::steady_clock::now();
    program.send_signal(signal_number);
    ProgramRun run = program.wait();
    const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun);
    fmt::print("{} stopped {} ms after signal {}\n", what, took.count(), signal_number);
    EXPECT_LT(took, milliseconds(2000)) << "as promised";
    return run;
  }
};

TEST_F(FaultConcurrencyTest, ASecondBackupOrStreamIsToldWhoIsAtWork) {
  PostgresServer server;
  protect(server);
  fill(server);
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  const auto backup = start_pgstrata({"backup", "app"});
  wait_for_lease("backup");
  ASSERT_EQ(::kill(backup->pid(), SIGSTOP), 0);
  expect_held(pgstrata({"backup", "app"}), "backup", backup->pid());
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
  const auto dead_backup = start_pgstrata({"backup", "app"});
  wait_for_lease("backup");
  dead_stream->kill9();
  dead_backup->kill9();
  EXPECT_TRUE(status().at("stream").is_null());
  EXPECT_TRUE(status().at("backup").is_null());
  const auto begun = std::chrono::steady_clock::now();
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(15)) << "a lease lives 30 s";
  ok({"backup", "app"});
  EXPECT_EQ(stream->terminate().exit_code, 0);
}

// Base backups wait for a checkpoint, and while this lives there is none.
class NoCheckpoint {
 public:
  explicit NoCheckpoint(const PostgresServer& server)
      : checkpointer_(std::stoi(
            server.query_value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"))) {
    if (::kill(checkpointer_, SIGSTOP) != 0) throw TestFailure("could not stop the checkpointer");
  }
  ~NoCheckpoint() { ::kill(checkpointer_, SIGCONT); }
  NoCheckpoint(const NoCheckpoint&) = delete;
  NoCheckpoint& operator=(const NoCheckpoint&) = delete;

 private:
  pid_t checkpointer_;
};

void wait_for_backup_to_wait(const PostgresServer& server) {
  wait_until("a backup to wait for the checkpoint", [&] {
    return server.query_value(
               "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'waiting for "
               "checkpoint%'") == "1";
  });
}

TEST_F(FaultConcurrencyTest, AStreamBegunWhileALoneBackupRunsWaitsForItsEnd) {
  PostgresServer server;
  protect(server);
  server.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  auto held = std::make_unique<NoCheckpoint>(server);
  const auto backup = start_pgstrata({"backup", "app", "--output", "json"});
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
  auto held = std::make_unique<NoCheckpoint>(server);
  const auto backup = start_pgstrata({"backup", "app", "--output", "json"});
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

TEST_F(FaultConcurrencyTest, TheSlotInUseBySomebodyElse) {
  PostgresServer server;
  protect(server);
  // pg_receivewal stands for a receiver that knows nothing of our lease.
  const TemporaryDirectory other;
  ChildProcess holder({.arguments = {server.binaries().program("pg_receivewal"), "-d", server.conninfo(),
                                     "-D", other.make("wal").string(), "-S", "pgstrata_app"},
                       .output = other.write("out", ""),
                       .errors = other.write("err", "")});
  wait_until("the slot to be taken",
             [&] { return server.query_value("SELECT active FROM pg_replication_slots") == "t"; });
  const ProgramRun run = run_pgstrata({"stream", "app"}, environment(), std::chrono::minutes(3));
  expect_clear(run, 7, "pgstrata_app");
  EXPECT_TRUE(holder.running());
}

TEST_F(FaultConcurrencyTest, SignalsStopEverythingCleanly) {
  PostgresServer server;
  protect(server);
  fill(server);
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const auto backup = start_pgstrata({"backup", "app"});
    wait_for_lease("backup");
    const ProgramRun run = stop(*backup, signal_number, "backup");
    if (run.exit_code == 0) continue;  // it was done
    expect_clear(run, 1, "stopped on request");
    EXPECT_EQ(snapshots(), 0U);
    EXPECT_TRUE(status().at("backup").is_null());
  }
  ok({"backup", "app"});
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_for_lease("stream");
    server.query("UPDATE big SET n = n + 1 WHERE n < 30000");
    const ProgramRun run = stop(*stream, signal_number, "stream");
    EXPECT_EQ(run.exit_code, 0) << run.describe();
    EXPECT_TRUE(status().at("stream").is_null());
  }
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const auto target = path(fmt::format("restored-{}", signal_number));
    const auto restore = start_pgstrata({"restore", "app", "--to", target.string()});
    wait_until("the restore to write",
               [&] { return std::filesystem::exists(target / "base") || !restore->running(); });
    const ProgramRun run = stop(*restore, signal_number, "restore");
    if (run.exit_code == 0) continue;
    expect_clear(run, 1, "stopped on request");
    EXPECT_FALSE(std::filesystem::exists(target / "global" / "pg_control"));
    ok({"restore", "app", "--to", target.string(), "--delta"});
    EXPECT_TRUE(std::filesystem::exists(target / "global" / "pg_control"));
  }
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const auto verify = start_pgstrata({"verify", "-v"});
    const ProgramRun run = stop(*verify, signal_number, "verify");
    if (run.exit_code == 0 || run.exit_code == 128 + signal_number) continue;  // done, or not begun
    EXPECT_EQ(run.exit_code, 1) << run.describe();
  }
  ok({"verify"});
}

}  // namespace
}  // namespace pgstrata::testing
