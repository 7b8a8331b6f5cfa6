// A branch becomes a native data directory while it serves.
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "e2e/page_checksums.h"
#include "e2e/small_disk.h"
#include "support/random_workload.h"
#include "support/test_seed.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BranchPromoteTest : public BranchTest {
 protected:
  [[nodiscard]] std::vector<std::string> to(const std::string& name) const {
    return {"--to", path(name), "--set", "unix_socket_directories=" + sockets_.string()};
  }
  std::unique_ptr<LeftRunningServer> promoted(const std::string& name, const Json& result) const {
    return std::make_unique<LeftRunningServer>(path(name), sockets_.string(), result.at("port").get<int>(),
                                               result.at("process_id").get<pid_t>());
  }

  std::filesystem::path sockets_ = directory().make("sock");
};

class BranchPromotion : public BranchPromoteTest, public ::testing::WithParamInterface<int> {};

TEST_P(BranchPromotion, WhatItAcknowledgedIsInTheDirectory) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  PostgresServer source({.major = GetParam()});
  source.start();
  const auto old_folder = directory().make("old");
  source.query(fmt::format("CREATE TABLESPACE old LOCATION '{}'", old_folder.string()));
  source.query("CREATE TABLE in_old TABLESPACE old AS SELECT n FROM generate_series(1, 20000) n");
  source.query("CREATE TABLE cut AS SELECT n FROM generate_series(1, 100000) n");
  source.query("CREATE DATABASE dropped");
  protect(source);
  backup();
  source.query(fmt::format("CREATE TABLESPACE late LOCATION '{}'", directory().make("late").string()));
  source.query("CREATE TABLE in_late TABLESPACE late AS SELECT n FROM generate_series(1, 20000) n");
  wait_until_durable(source);
  const auto there = branch("try", {"--set", "work_mem=7MB"});
  RandomWorkload workload(there.conninfo(), seed);
  workload.run(30);
  there.query("DELETE FROM cut WHERE n > 1000");
  there.query("VACUUM cut");
  there.query("INSERT INTO cut SELECT n FROM generate_series(1, 30000) n");
  there.query("UPDATE in_old SET n = -n WHERE n % 100 = 0");
  there.query("UPDATE in_late SET n = -n WHERE n % 100 = 0");
  there.query("DROP DATABASE dropped");
  CommitLedger ledger({.conninfo = there.conninfo(), .clients = 3, .seed = seed});
  ledger.start();
  ledger.wait_for_commits(50);
  const auto before = digest_of_all(there.place());

  auto arguments = to("native");
  arguments.insert(arguments.end(),
                   {"--tablespace", old_folder.string() + "=" + path("native_old").string()});
  const auto server = promoted("native", branch_json("promote", "try", arguments));
  ledger.stop(std::chrono::seconds(1));
  EXPECT_EQ(server->port(), there.port());
  EXPECT_THAT(ledger.check_all(server->conninfo()), IsEmpty());
  EXPECT_EQ(digest_of_all(server_place(*server)), before);
  EXPECT_THAT(amcheck_problems(server_place(*server)), IsEmpty());
  EXPECT_EQ(server->query_value("SHOW work_mem"), "7MB");
  EXPECT_EQ(server->query_value("SHOW archive_mode"), "off");
  EXPECT_EQ(
      server->query_value("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'old'"),
      path("native_old"));
  server->query("CREATE TABLE writable AS SELECT 1 AS one");
  EXPECT_EQ(state_of("try"), "none");
  EXPECT_FALSE(std::filesystem::exists(home_of("try")));
  server->stop();
  EXPECT_THAT(check_page_checksums(path("native")).wrong, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(path("native") / "pgstrata_restore_unfinished"));
  EXPECT_EQ(source.query_value("SELECT min(n) FROM in_old"), "1");
}

INSTANTIATE_TEST_SUITE_P(Majors, BranchPromotion, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

TEST_F(BranchPromoteTest, OneThatFailsOrIsCutShortLeavesTheBranch) {
  PostgresServer source;
  source.start();
  protect(source);
  source.query("CREATE TABLE t AS SELECT n, repeat('x', 300) AS text FROM generate_series(1, 100000) n");
  backup();
  auto there = branch("try");
  there.query("DELETE FROM t WHERE n > 50000");
  const std::string count = "SELECT count(*) FROM t";

  // No server starts there: the branch serves again, and the directory is whole.
  const auto failed =
      run_branch("promote", {"try", "--to", path("unstarted"), "--set", "unix_socket_directories=/nowhere"});
  EXPECT_EQ(failed.exit_code, 1) << failed.describe();
  EXPECT_THAT(failed.err, HasSubstr("the branch serves again"));
  EXPECT_EQ(state_of("try"), "running");
  EXPECT_EQ(there.value(count), "50000");

  // Into something.
  const auto taken = run_branch("promote", {"try", "--to", path("unstarted")});
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_THAT(taken.err, HasSubstr("remove what is there"));
  EXPECT_EQ(state_of("try"), "running");

  // Killed when it begins, while it copies, and once the branch's server has stopped.
  for (const std::string sign :
       {"pgstrata_restore_unfinished", "global/pg_filenode.map", "pgstrata_promote.log"}) {
    SCOPED_TRACE(sign);
    const auto name = fmt::format("cut_{}", std::filesystem::path(sign).filename().string());
    auto arguments = to(name);
    arguments.insert(arguments.begin(), {"branch", "promote", "app", "try"});
    BackgroundPgstrata cut(arguments, environment());
    wait_until("the promotion to come to " + sign,
               [&] { return !cut.running() || std::filesystem::exists(path(name) / sign); });
    cut.kill9();
    if (state_of("try") == "none") break;  // it was through
    EXPECT_TRUE(std::filesystem::exists(path(name) / "pgstrata_restore_unfinished") ||
                std::filesystem::exists(path(name) / "global/pg_control"));
    if (state_of("try") == "promoted") break;  // it was at the very end
    there = moved("start", "try");
    EXPECT_EQ(there.value(count), "50000");
  }
}

TEST_F(BranchPromoteTest, RoomIsAskedForWhatTheBranchHasGrownTo) {
  const SmallDisk disk(directory().make("disk"), 100);
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED: this user may not mount a tmpfs; run as root";
  PostgresServer source;
  source.start();
  protect(source);
  backup();
  const auto there = branch("try");
  there.query("CREATE TABLE t AS SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 100000) n");
  const auto to = disk.folder() / "native";
  const auto refused = run_branch("promote", {"try", "--to", to.string()});
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.err, HasSubstr("Nothing was written"));
  EXPECT_EQ(there.value("SELECT count(*) FROM t"), "100000");
}

TEST_F(BranchPromoteTest, WithoutAServer) {
  PostgresServer source;
  source.start();
  protect(source);
  source.query("CREATE TABLE t AS SELECT n FROM generate_series(1, 50000) n");
  source.query(
      "COPY (SELECT) TO PROGRAM 'mkdir -p one/deep two/deep && echo 1 > one/deep/f && echo 2 > two/deep/f'");
  backup();
  const auto there = branch("try");
  // What is below has no other name in its own folder.
  there.query("COPY (SELECT) TO PROGRAM 'mv one t && mv two one && mv t two'");
  // A file of the snapshot's under another name.
  there.query(
      "COPY (SELECT) TO PROGRAM 'mv pg_hba.conf pg_hba.conf.before && cp pg_hba.conf.before pg_hba.conf'");
  const auto left = branch_json("promote", "try", {"--to", path("left"), "--no-start"});
  EXPECT_TRUE(left.at("process_id").is_null());
  EXPECT_EQ(state_of("try"), "none");
  EXPECT_EQ(read_text(std::filesystem::path(path("left")) / "one/deep/f"), "2\n");
  EXPECT_EQ(read_text(std::filesystem::path(path("left")) / "two/deep/f"), "1\n");
  const auto before = read_text(source.data_directory() / "pg_hba.conf");
  EXPECT_GT(before.size(), 4096U);
  EXPECT_EQ(read_text(path("left") / "pg_hba.conf.before"), before);
  auto adopted = PostgresServer::adopt(path("left"));
  adopted.start();
  EXPECT_EQ(adopted.query_value("SELECT count(*) FROM t"), "50000");
}

TEST_F(BranchPromoteTest, AReadOnlyBranchIsNone) {
  PostgresServer source;
  source.start();
  protect(source);
  backup();
  branch("look", {"--read-only"});
  const auto refused = run_branch("promote", {"look", "--to", path("native")});
  EXPECT_EQ(refused.exit_code, 2) << refused.describe();
  EXPECT_FALSE(std::filesystem::exists(path("native")));
  EXPECT_EQ(state_of("look"), "running");
}

}  // namespace
}  // namespace pgstrata::testing
