// Disks that are full: the repository's while backing up and receiving, the target's while restoring.
#include "e2e/fault_test.h"
#include "e2e/small_disk.h"
#include "support/commit_ledger.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FaultDiskFullTest : public FaultTest {
 protected:
  static void fill(const PostgresServer& server) {
    server.query(
        "CREATE TABLE big AS SELECT n, (SELECT string_agg(md5(n::text || k::text), '') FROM "
        "generate_series(1, 30) k) AS x FROM generate_series(1, 110000) n");
  }
  std::unique_ptr<SmallDisk> disk(const std::string& name, int size_mib) {
    const auto folder = disks_.make(name);
    return std::make_unique<SmallDisk>(folder, size_mib);
  }

 private:
  TemporaryDirectory disks_;
};

TEST_F(FaultDiskFullTest, WhileBackingUp) {
  const auto small = disk("repository", 24);
  NEEDS_DISK(small);
  PostgresServer server;
  server.start();
  fill(server);
  Environment variables = environment();
  variables["PGSTRATA_REPO"] = small->folder().string();
  const auto run = [&](std::vector<std::string> arguments) {
    return run_pgstrata(std::move(arguments), variables);
  };
  ASSERT_EQ(run({"init"}).exit_code, 0);
  ASSERT_EQ(run({"add", "app", "--url", server.url()}).exit_code, 0);
  for (int round = 0; round < 2; ++round) {
    const ProgramRun full = run({"backup", "app", "--base"});
    expect_clear(full, 1, "No space left");
    EXPECT_THAT(full.err, HasSubstr(small->folder().string()));
    const ProgramRun list = run({"snapshot", "list", "app", "--output", "json"});
    EXPECT_TRUE(Json::parse(list.out).at("snapshots").empty());
    const ProgramRun status = run({"status", "--output", "json"});
    ASSERT_EQ(status.exit_code, 0) << status.describe();
    EXPECT_THAT(status.out, HasSubstr("repository_nearly_full"));
  }
  small->resize(400);
  const ProgramRun made = run({"backup", "app", "--base", "--output", "json"});
  ASSERT_EQ(made.exit_code, 0) << made.describe();
  EXPECT_EQ(run({"verify"}).exit_code, 0);
  ASSERT_EQ(run({"restore", "app", "--to", path("restored").string()}).exit_code, 0);
  PostgresServer copy = PostgresServer::adopt(path("restored"));
  start_and_recover(copy);
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM big"), "110000");
}

TEST_F(FaultDiskFullTest, WhileReceivingConfirmsNothingAndLosesNoCommit) {
  const auto small = disk("repository", 40);
  NEEDS_DISK(small);
  PostgresServer server;
  server.start();
  Environment variables = environment();
  variables["PGSTRATA_REPO"] = small->folder().string();
  const auto run = [&](std::vector<std::string> arguments) {
    return run_pgstrata(std::move(arguments), variables);
  };
  ASSERT_EQ(run({"init"}).exit_code, 0);
  ASSERT_EQ(run({"add", "app", "--url", server.url()}).exit_code, 0);
  BackgroundPgstrata stream({"stream", "app"}, variables);
  wait_until("the stream",
             [&] { return server.query_value("SELECT count(*) FROM pg_stat_replication") == "1"; });
  const ProgramRun base = run({"backup", "app", "--base"});
  ASSERT_EQ(base.exit_code, 0) << base.describe();
  CommitLedger ledger({.conninfo = server.conninfo()});
  ledger.start();
  ledger.wait_for_commits(50);
  fill(server);
  stream.wait_for_output("does not take WAL");
  ledger.wait_for_commits(ledger.acknowledged_count() + 50);
  const std::string reached = server.query_value("SELECT pg_current_wal_flush_lsn()");
  EXPECT_EQ(
      server.query_value("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '" + reached + "'"),
      "0");
  EXPECT_TRUE(stream.running());
  EXPECT_EQ(run({"verify"}).exit_code, 0);
  small->resize(400);
  ledger.stop();
  const std::string end = server.query_value("SELECT pg_current_wal_flush_lsn()");
  wait_until(
      "the stream to have it all",
      [&] {
        return server.query_value("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '" + end +
                                  "'") != "0";
      },
      std::chrono::seconds(90));
  EXPECT_EQ(stream.terminate().exit_code, 0);
  server.kill9();
  ASSERT_EQ(run({"restore", "app", "--to", path("restored").string()}).exit_code, 0);
  PostgresServer copy = PostgresServer::adopt(path("restored"));
  start_and_recover(copy);
  EXPECT_THAT(ledger.check_all(copy.conninfo()), IsEmpty());
}

TEST_F(FaultDiskFullTest, WhileRestoring) {
  const auto small = disk("target", 60);
  NEEDS_DISK(small);
  PostgresServer server;
  protect(server);
  fill(server);
  ok({"backup", "app", "--base"});
  server.kill9();
  const auto target = small->folder() / "data";
  const ProgramRun full = pgstrata({"restore", "app", "--to", target.string()});
  expect_clear(full, 1, "");
  EXPECT_THAT(full.err, ::testing::AnyOf(HasSubstr("No space left"), HasSubstr("free")));
  EXPECT_FALSE(std::filesystem::exists(target / "global" / "pg_control"));
  small->resize(600);
  ok({"restore", "app", "--to", target.string(), "--delta"});
  PostgresServer copy = PostgresServer::adopt(target);
  start_and_recover(copy);
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM big"), "110000");
  copy.stop();
}

}  // namespace
}  // namespace pgstrata::testing
