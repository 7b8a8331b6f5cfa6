// A branch at each kind of target holds what was committed by then and nothing else, on every major.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "support/random_workload.h"
#include "support/test_seed.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;

class BranchTargetTest : public BranchTest {};

TEST_F(BranchTargetTest, EachTargetHoldsExactlyTheLedgersCommits) {
  PostgresServer source;
  source.start();
  protect(source);
  start_stream(source);
  CommitLedger ledger({.conninfo = source.conninfo(), .clients = 3});
  ledger.start();
  ledger.wait_for_commits(50);
  backup();
  ledger.wait_for_commits(150);
  const std::string moment = server_time(source);
  ledger.wait_for_commits(ledger.acknowledged_count() + 50);
  const std::string lsn = source.query_value("SELECT pg_current_wal_insert_lsn()");
  source.query("CREATE TABLE marks (what text)");
  const std::string xid =
      source.query_value("INSERT INTO marks VALUES ('xid') RETURNING pg_current_xact_id()::text");
  source.query("INSERT INTO marks VALUES ('later')");
  source.query("SELECT pg_create_restore_point('here')");
  source.query("INSERT INTO marks VALUES ('last')");
  ledger.wait_for_commits(ledger.acknowledged_count() + 50);
  ledger.stop();
  wait_until_durable(source);
  stop_stream();
  const auto before = repository_digest();

  const auto at_time = branch("at", {"--at", moment});
  EXPECT_THAT(ledger.check_time(at_time.conninfo(), parse_rfc3339(moment).value()), IsEmpty());
  const auto at_lsn = branch("lsn", {"--lsn", lsn});
  EXPECT_THAT(ledger.check_lsn(at_lsn.conninfo(), parse_lsn(lsn).value()), IsEmpty());
  EXPECT_EQ(at_lsn.value("SELECT to_regclass('marks') IS NULL"), "t");
  const std::string marks = "SELECT string_agg(what, ' ' ORDER BY what) FROM marks";
  EXPECT_EQ(branch("xid", {"--xid", xid}).value(marks), "xid");
  EXPECT_EQ(branch("before", {"--xid", xid, "--exclusive"}).value("SELECT count(*) FROM marks"), "0");
  EXPECT_EQ(branch("point", {"--restore-point", "here"}).value(marks), "later xid");
  const auto latest = branch("latest");
  EXPECT_EQ(latest.value(marks), "last later xid");
  EXPECT_THAT(ledger.check_all(latest.conninfo()), IsEmpty());
  EXPECT_THAT(amcheck_problems(latest.place()), IsEmpty());

  // What is written in one is nobody else's.
  latest.query("DELETE FROM commit_ledger");
  EXPECT_THAT(ledger.check_time(at_time.conninfo(), parse_rfc3339(moment).value()), IsEmpty());
  EXPECT_THAT(ledger.check_all(source.conninfo()), IsEmpty());
  EXPECT_EQ(listed().size(), 6U);
  EXPECT_EQ(repository_digest(), before);
}

class BranchOnMajors : public BranchTest, public ::testing::WithParamInterface<int> {};

TEST_P(BranchOnMajors, TakesWritesOfEachKindAndSurvivesItsPostmaster) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  PostgresServer source({.major = GetParam()});
  source.start();
  protect(source);
  backup();
  RandomWorkload(source.conninfo(), seed).run(15);
  const auto before = digest_of_all(server_place(source));
  wait_until_durable(source);
  source.stop();

  const auto there = branch("try");
  EXPECT_EQ(digest_of_all(there.place()), before);
  there.query("CREATE TABLE t AS SELECT n, repeat('x', 500) AS text FROM generate_series(1, 5000) n");
  there.query("CREATE INDEX ON t (n)");
  there.query("UPDATE t SET text = text || n WHERE n % 3 = 0");
  there.query("DELETE FROM t WHERE n % 5 = 0");
  there.query("VACUUM FULL t");
  there.query("VACUUM (FREEZE, ANALYZE)");
  there.query("CREATE DATABASE other");
  there.query("CREATE TABLE in_other AS SELECT 1 AS n", "other");
  const auto folder = directory().make("space");
  there.query(fmt::format("CREATE TABLESPACE space LOCATION '{}'", folder.string()));
  there.query("CREATE TABLE in_space TABLESPACE space AS SELECT n FROM generate_series(1, 1000) n");
  EXPECT_THAT(amcheck_problems(there.place()), IsEmpty());
  there.query("INSERT INTO t VALUES (0, 'last')");

  there.kill9_postmaster();
  EXPECT_EQ(state_of("try"), "broken");
  const auto again = moved("start", "try");
  EXPECT_EQ(state_of("try"), "running");
  EXPECT_EQ(again.value("SELECT count(*) || ' ' || min(text) FROM t WHERE n = 0"), "1 last");
  EXPECT_EQ(again.value("SELECT count(*) FROM t"), "4001");
  EXPECT_EQ(again.value("SELECT n FROM in_other", "other"), "1");
  EXPECT_EQ(again.value("SELECT count(*) FROM in_space"), "1000");
  EXPECT_THAT(amcheck_problems(again.place()), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Majors, BranchOnMajors, ::testing::ValuesIn(sample_majors()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

// Recovery would make them at their places on the source, which on this machine are the source's own.
class BranchTablespaces : public BranchTest, public ::testing::WithParamInterface<int> {};

TEST_P(BranchTablespaces, ThoseMadeAfterTheSnapshotAreWithinTheBranch) {
  PostgresServer source({.major = GetParam()});
  source.start();
  const auto old_folder = directory().make("old");
  source.query(fmt::format("CREATE TABLESPACE old LOCATION '{}'", old_folder.string()));
  source.query("CREATE TABLE in_old TABLESPACE old AS SELECT n FROM generate_series(1, 1000) n");
  protect(source);
  backup();
  // Long names, so that some records reach over the end of a page.
  std::vector<std::filesystem::path> folders;
  for (int number = 0; number < 40; ++number) {
    const auto name = fmt::format("space{}", number);
    folders.push_back(directory().make(name + "_" + std::string(180, 'x')));
    source.query(fmt::format("CREATE TABLESPACE {} LOCATION '{}'", name, folders.back().string()));
  }
  source.query("CREATE TABLE in_new TABLESPACE space7 AS SELECT n FROM generate_series(1, 1000) n");
  source.query("UPDATE in_old SET n = n + 1");
  source.query("DROP TABLESPACE space9");
  wait_until_durable(source);
  const auto mode = std::filesystem::status(folders[7]).permissions();
  const auto written = std::filesystem::last_write_time(folders[7]);

  const auto there = branch("try");
  EXPECT_EQ(there.value("SELECT count(*) FROM in_new"), "1000");
  EXPECT_EQ(there.value("SELECT max(n) FROM in_old"), "1001");
  there.query("UPDATE in_new SET n = 0");
  there.query("CREATE TABLE more TABLESPACE space11 AS SELECT 1 AS n");
  there.query("DELETE FROM in_old");
  there.query("CHECKPOINT");
  EXPECT_EQ(there.value("SELECT pg_tablespace_location(oid) = 'pg_tblspc/' || oid FROM pg_tablespace "
                        "WHERE spcname = 'space7'"),
            "t");
  EXPECT_EQ(there.value("SELECT count(*) FROM pg_tablespace WHERE spcname = 'space9'"), "0");
  // The source's are as they were.
  EXPECT_EQ(std::filesystem::status(folders[7]).permissions(), mode);
  EXPECT_EQ(std::filesystem::last_write_time(folders[7]), written);
  EXPECT_EQ(source.query_value("SELECT sum(n) FROM in_new"), "500500");
  EXPECT_EQ(source.query_value("SELECT count(*) FROM in_old"), "1000");

  there.kill9_mount_process();
  const auto again = moved("start", "try");
  EXPECT_EQ(again.value("SELECT sum(n) FROM in_new"), "0");
  EXPECT_EQ(again.value("SELECT n FROM more"), "1");
  branch_json("stop", "try");
  EXPECT_EQ(run_branch("rename", {"try", "renamed"}).exit_code, 0);
  EXPECT_EQ(moved("start", "renamed").value("SELECT count(*) FROM in_old"), "0");
}

INSTANTIATE_TEST_SUITE_P(Majors, BranchTablespaces, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

}  // namespace
}  // namespace pgstrata::testing
