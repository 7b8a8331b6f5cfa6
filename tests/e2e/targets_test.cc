// What each kind of target gives back, and what is refused before anything is written.
#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "e2e/numbered_rows.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Rows 1 to 5, each in a transaction of its own; between 3 and 4 a restore point and one rolled back.
struct Scenario {
  Scenario() {
    source.start();
    source.query("CREATE TABLE t (n int)");
    job.protect(source);
    job.start_stream(source);
    snapshot = job.backup();
    for (int row = 1; row <= 3; ++row) commits.push_back(insert_row(source, row));
    source.query("SELECT pg_create_restore_point('before \"it\" all')");
    {
      SqlConnection connection(source.conninfo());
      connection.run("BEGIN; INSERT INTO t VALUES (99)");
      rolled_back = connection.value("SELECT pg_current_xact_id()::xid");
      connection.run("ROLLBACK");
    }
    for (int row = 4; row <= 5; ++row) commits.push_back(insert_row(source, row));
    end = job.wait_until_durable(source);
    quiet = server_time(source);
    // Nothing is written now: that the source is idle is all that makes coverage grow.
    wait_until("coverage of a quiet moment",
               [&] { return job.coverage().at(0).at("to_time").get<std::string>() > quiet; });
    job.stop_stream();
  }

  PostgresServer source;
  MainJob job;
  Json snapshot;
  std::vector<Commit> commits;
  std::string rolled_back;
  std::string end;
  std::string quiet;
};

class TargetsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { scenario_ = std::make_unique<Scenario>(); }
  static void TearDownTestSuite() { scenario_.reset(); }

  // Of row 1 to 5.
  static const Commit& commit(int row) { return scenario_->commits.at(static_cast<std::size_t>(row - 1)); }
  static MainJob& job() { return scenario_->job; }
  static const Scenario& scenario() { return *scenario_; }
  static std::filesystem::path path() {
    return job().path(::testing::UnitTest::GetInstance()->current_test_info()->name());
  }

  static std::string rows_at(const std::string& name, const std::vector<std::string>& target) {
    return job().restore_and_start(name, target)->query_value(rows_of_t);
  }
  // That it ends with exit code 4 and leaves a missing folder missing and an empty one empty. Its message.
  static std::string refused(std::vector<std::string> target) {
    const auto missing = path().string() + "_missing";
    const auto empty = path().string() + "_empty";
    std::filesystem::create_directory(empty);
    std::filesystem::permissions(empty, std::filesystem::perms::all);
    std::string message;
    for (const std::string& folder : {missing, empty}) {
      std::vector<std::string> arguments{"restore", "app", "--to", folder};
      arguments.insert(arguments.end(), target.begin(), target.end());
      const ProgramRun run = job().pgstrata(arguments);
      EXPECT_EQ(run.exit_code, 4) << fmt::format("{}", fmt::join(arguments, " ")) << run.describe();
      message = run.err;
    }
    EXPECT_FALSE(std::filesystem::exists(missing));
    EXPECT_TRUE(std::filesystem::is_empty(empty));
    return message;
  }

 private:
  static std::unique_ptr<Scenario> scenario_;
};

std::unique_ptr<Scenario> TargetsTest::scenario_;

// A moment as the program shows it to people, without what comes after the second.
std::string shown_second(const std::string& rfc3339) {
  std::string text = rfc3339.substr(0, 19);
  text[10] = ' ';
  return text;
}

TEST_F(TargetsTest, LatestIsEverything) {
  EXPECT_EQ(rows_at("latest", {"--latest"}), "1,2,3,4,5");
}

TEST_F(TargetsTest, ATimeIncludesTheCommitOfThatMicrosecond) {
  EXPECT_EQ(rows_at("at", {"--at", commit(3).time}), "1,2,3");
}

TEST_F(TargetsTest, ATimeExclusiveLeavesItOut) {
  EXPECT_EQ(rows_at("at_exclusive", {"--at", commit(3).time, "--exclusive"}), "1,2");
}

TEST_F(TargetsTest, APositionIncludesTheRecordThatStartsThere) {
  // Row 3's insertion, without its commit.
  EXPECT_EQ(rows_at("lsn", {"--lsn", commit(2).after}), "1,2");
}

TEST_F(TargetsTest, APositionExclusive) {
  EXPECT_EQ(rows_at("lsn_exclusive", {"--lsn", commit(4).after, "--exclusive"}), "1,2,3,4");
}

TEST_F(TargetsTest, ATransactionWithIt) {
  EXPECT_EQ(rows_at("xid", {"--xid", commit(3).xid}), "1,2,3");
}

TEST_F(TargetsTest, ATransactionWithoutIt) {
  EXPECT_EQ(rows_at("xid_exclusive", {"--xid", commit(3).xid, "--exclusive"}), "1,2");
}

TEST_F(TargetsTest, ATransactionThatWasRolledBack) {
  EXPECT_EQ(rows_at("xid_rolled_back", {"--xid", scenario().rolled_back}), "1,2,3");
}

TEST_F(TargetsTest, ARestorePoint) {
  EXPECT_EQ(rows_at("point", {"--restore-point", "before \"it\" all"}), "1,2,3");
}

TEST_F(TargetsTest, AQuietMomentAfterTheLastCommit) {
  EXPECT_EQ(rows_at("quiet", {"--at", scenario().quiet}), "1,2,3,4,5");
}

// What `status` says can be restored can be, to its very ends, and nothing beyond.
TEST_F(TargetsTest, TheEndsOfCoverageAreWithinIt) {
  const Json range = job().coverage().at(0);
  const auto from_time = range.at("from_time").get<std::string>();
  const auto to_time = range.at("to_time").get<std::string>();
  const auto from_lsn = range.at("from_lsn").get<std::string>();
  const auto to_lsn = range.at("to_lsn").get<std::string>();
  EXPECT_EQ(rows_at("from_time", {"--at", from_time}), "");
  EXPECT_EQ(rows_at("from_time_exclusive", {"--at", from_time, "--exclusive"}), "");
  EXPECT_EQ(rows_at("to_time", {"--at", to_time}), "1,2,3,4,5");
  EXPECT_EQ(rows_at("from_lsn", {"--lsn", from_lsn}), "");
  EXPECT_EQ(rows_at("to_lsn", {"--lsn", to_lsn}), "1,2,3,4,5");
  EXPECT_EQ(rows_at("to_lsn_exclusive", {"--lsn", to_lsn, "--exclusive"}), "1,2,3,4,5");

  const std::chrono::microseconds one(1);
  refused({"--at", to_rfc3339(parse_rfc3339(from_time).value() - one)});
  refused({"--at", to_rfc3339(parse_rfc3339(to_time).value() + one)});
  refused({"--lsn", to_string(Lsn{parse_lsn(from_lsn).value().value - 1})});
  refused({"--lsn", to_string(parse_lsn(to_lsn).value() + 1)});
}

// A time of the clock in another zone than UTC.
TEST_F(TargetsTest, ATimeInAnotherZone) {
  const Timestamp third = parse_rfc3339(commit(3).time).value();
  std::string local = to_rfc3339(third + std::chrono::minutes(5 * 60 + 45));
  local.pop_back();
  EXPECT_EQ(rows_at("zone", {"--at", local, "--tz", "Asia/Kathmandu"}), "1,2,3");
  EXPECT_EQ(rows_at("offset", {"--at", local + "+05:45"}), "1,2,3");
}

TEST_F(TargetsTest, RefusesWhatIsBeforeTheFirstMoment) {
  const auto first = scenario().snapshot.at("restorable_from").get<std::string>();
  const std::string named = "The nearest moment after it is " + shown_second(first);
  EXPECT_THAT(refused({"--at", "2020-01-01T00:00:00Z"}), HasSubstr(named));
  const auto consistent = scenario().snapshot.at("consistent_lsn").get<std::string>();
  EXPECT_THAT(refused({"--lsn", "0/1000028"}), HasSubstr("(LSN " + consistent + ")"));
}

TEST_F(TargetsTest, RefusesWhatIsAfterTheLastMoment) {
  const Json range = job().coverage().at(0);
  const std::string last = "The nearest moment before it is " + shown_second(range.at("to_time"));
  EXPECT_THAT(refused({"--at", "2099-01-01T00:00:00Z"}), HasSubstr(last));
  EXPECT_THAT(refused({"--lsn", "FF/0"}), HasSubstr(last));
  EXPECT_THAT(refused({"--lsn", "FF/0"}), HasSubstr("(LSN " + range.at("to_lsn").get<std::string>() + ")"));
}

TEST_F(TargetsTest, RefusesWhatNothingIsKnownOf) {
  const std::string what_can_be = shown_second(scenario().snapshot.at("restorable_from"));
  for (const auto& [flag, value] :
       std::vector<std::pair<std::string, std::string>>{{"--xid", "4000000"}, {"--restore-point", "none"}}) {
    const std::string message = refused({flag, value});
    EXPECT_THAT(message, HasSubstr(value));
    EXPECT_THAT(message, HasSubstr(what_can_be));
  }
  EXPECT_THAT(refused({"--timeline", "9"}), HasSubstr("imeline 9"));
  // One that was committed before the snapshot is no moment that can be had.
  EXPECT_THAT(refused({"--xid", std::to_string(std::stoi(commit(1).xid) - 1)}), HasSubstr(what_can_be));
}

TEST_F(TargetsTest, RefusesToLeaveOutARestorePoint) {
  const ProgramRun run = job().pgstrata(
      {"restore", "app", "--to", path().string(), "--restore-point", "before \"it\" all", "--exclusive"});
  EXPECT_EQ(run.exit_code, 2) << run.describe();
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(TargetsTest, RefusesAFolderThatIsNotEmpty) {
  std::filesystem::create_directory(path());
  std::ofstream(path() / "mine") << "keep";
  std::filesystem::permissions(path(), std::filesystem::perms::all);
  const ProgramRun run = job().pgstrata({"restore", "app", "--to", path().string()});
  EXPECT_EQ(run.exit_code, 1) << run.describe();
  EXPECT_THAT(run.err, HasSubstr("is not empty"));
  EXPECT_THAT(run.err, HasSubstr("--delta"));
  const ProgramRun delta = job().pgstrata({"restore", "app", "--to", path().string(), "--delta"});
  EXPECT_EQ(delta.exit_code, 2) << delta.describe();
  EXPECT_THAT(delta.err, HasSubstr("no PostgreSQL data directory"));
  EXPECT_EQ(read_text(path() / "mine"), "keep");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path()), {}), 1);
}

TEST_F(TargetsTest, RefusesTheDirectoryOfARunningServer) {
  const std::string folder = scenario().source.data_directory().string();
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--delta"}}) {
    std::vector<std::string> arguments{"restore", "app", "--to", folder};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramRun run = job().pgstrata(arguments);
    EXPECT_EQ(run.exit_code, 7) << run.describe();
    EXPECT_THAT(run.err, HasSubstr("is running in"));
  }
  EXPECT_EQ(scenario().source.query_value(rows_of_t), "1,2,3,4,5");
}

TEST_F(TargetsTest, RefusesTheDirectoryOfAnotherCluster) {
  PostgresServer other;
  other.start();
  other.query("CREATE TABLE theirs AS SELECT 1 AS n");
  other.stop();
  const ProgramRun run =
      job().pgstrata({"restore", "app", "--to", other.data_directory().string(), "--delta"});
  EXPECT_EQ(run.exit_code, 2) << run.describe();
  EXPECT_THAT(run.err, HasSubstr("another cluster"));
  other.start();
  EXPECT_EQ(other.query_value("SELECT n FROM theirs"), "1");
}

// Such a transaction ends with its second phase, whoever runs that.
TEST_F(MainJobTest, TransactionsInTwoPhasesAndWithin) {
  PostgresServer source({.settings = {"max_prepared_transactions = 10"}});
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  start_stream(source);
  backup();
  const auto prepare = [&](const std::string& name, int row) {
    SqlConnection connection(source.conninfo());
    connection.run(fmt::format("BEGIN; INSERT INTO t VALUES ({})", row));
    std::string xid = connection.value("SELECT pg_current_xact_id()::xid");
    connection.run(fmt::format("PREPARE TRANSACTION '{}'", name));
    return xid;
  };
  const std::string committed = prepare("one", 1);
  const std::string rolled_back = prepare("two", 2);
  prepare("never ended", 3);
  insert_row(source, 10);
  source.query("COMMIT PREPARED 'one'");
  insert_row(source, 11);
  source.query("ROLLBACK PREPARED 'two'");
  insert_row(source, 12);
  SqlConnection connection(source.conninfo());
  connection.run("BEGIN; INSERT INTO t VALUES (20); SAVEPOINT inside; INSERT INTO t VALUES (21)");
  const std::string inner = connection.value("SELECT xmin FROM t WHERE n = 21");
  connection.run("COMMIT");
  const std::string time_of_one = source.query_value(
      fmt::format("SELECT to_char(pg_xact_commit_timestamp('{}'::xid) {})", committed, utc));
  wait_until_durable(source);
  stop_stream();

  const std::string pending = "SELECT coalesce(string_agg(gid, ',' ORDER BY gid), '') FROM pg_prepared_xacts";
  const auto expect = [&](const std::string& name, std::vector<std::string> target, const std::string& rows,
                          const std::string& prepared) {
    SCOPED_TRACE(name);
    const auto restored = restore_and_start(name, std::move(target));
    EXPECT_EQ(restored->query_value(rows_of_t), rows);
    EXPECT_EQ(restored->query_value(pending), prepared);
  };
  expect("xid", {"--xid", committed}, "1,10", "never ended,two");
  expect("xid_exclusive", {"--xid", committed, "--exclusive"}, "10", "never ended,one,two");
  expect("time", {"--at", time_of_one}, "1,10", "never ended,two");
  expect("time_exclusive", {"--at", time_of_one, "--exclusive"}, "10", "never ended,one,two");
  expect("rolled_back", {"--xid", rolled_back}, "1,10,11", "never ended");
  expect("latest", {"--latest"}, "1,10,11,12,20,21", "never ended");
  const ProgramRun subtransaction =
      pgstrata({"restore", "app", "--to", path("none").string(), "--xid", inner});
  EXPECT_EQ(subtransaction.exit_code, 4) << subtransaction.describe();
}

TEST_F(MainJobTest, DeltaRewritesOnlyWhatDiffers) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t AS SELECT 1 AS n");
  source.query("CREATE TABLE big AS SELECT i, md5(i::text) AS label FROM generate_series(1, 300000) i");
  source.query("VACUUM FREEZE");  // else the first who reads a page marks it
  protect(source);
  backup();
  const std::string digest = source.query_value("SELECT md5(string_agg(big::text, '' ORDER BY i)) FROM big");
  {
    const auto copy = restore_and_start("copy", {"--latest"});
    // It goes its own way.
    copy->query("INSERT INTO t VALUES (2)");
    copy->query("UPDATE big SET label = 'other' WHERE i BETWEEN 1000 AND 1010");
    copy->query("CREATE TABLE stray AS SELECT * FROM generate_series(1, 50000) i");
    copy->query("CREATE DATABASE stray");
    copy->stop();
  }
  std::ofstream(path("copy") / "base" / "stray_file") << "left over";
  const Json outcome = restore("copy", {"--latest", "--delta"}).at("restored");
  const auto total = outcome.at("total_bytes").get<std::uint64_t>();
  EXPECT_GT(outcome.at("reused_bytes"), total / 2);
  EXPECT_LT(outcome.at("written_bytes"), total / 4);
  EXPECT_FALSE(std::filesystem::exists(path("copy") / "base" / "stray_file"));
  PostgresServer copy = PostgresServer::adopt(path("copy"));
  copy.start();
  wait_until("the end of recovery", [&] { return copy.query_value("SELECT pg_is_in_recovery()") == "f"; });
  EXPECT_EQ(copy.query_value(rows_of_t), "1");
  EXPECT_EQ(copy.query_value("SELECT md5(string_agg(big::text, '' ORDER BY i)) FROM big"), digest);
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM pg_class WHERE relname = 'stray'"), "0");
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM pg_database WHERE datname = 'stray'"), "0");
}

// Its checkpoint's time is cut to seconds: a moment between that and the last commit it holds is not to be
// had from it.
TEST_F(MainJobTest, ASnapshotClaimsNoMomentBeforeTheLastCommitItHolds) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  start_stream(source);
  for (int n = 1; n <= 3; ++n) {
    const Commit commit = insert_row(source, n);
    const Json snapshot = backup();
    EXPECT_GE(snapshot.at("restorable_from").get<std::string>(), commit.time);
  }
  stop_stream();
}

// Recovery would write into the running source's own folder.
TEST_F(MainJobTest, ATablespaceMadeAfterTheSnapshotIsNotSharedWithTheSource) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  start_stream(source);
  backup();
  insert_row(source, 1);
  const std::string before = server_time(source);
  insert_row(source, 2);  // the moment ends at this commit: what makes a tablespace comes before its own
  const auto place = directory().make("space");
  source.query(fmt::format("CREATE TABLESPACE space LOCATION '{}'", place.string()));
  source.query("CREATE TABLE in_space TABLESPACE space AS SELECT 1 AS n");
  wait_until_durable(source);
  stop_stream();
  const ProgramRun refused = pgstrata({"restore", "app", "--to", path("shared").string()});
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.err, HasSubstr(place.string()));
  EXPECT_FALSE(std::filesystem::exists(path("shared")));
  EXPECT_EQ(restore_and_start("before", {"--at", before})->query_value(rows_of_t), "1");
  // On another machine, or here once the source is gone, with the folder it needs.
  source.stop();
  std::filesystem::rename(place, path("moved"));
  static_cast<void>(directory().make("space"));
  EXPECT_EQ(restore_and_start("after", {"--latest"})->query_value("SELECT n FROM in_space"), "1");
}

TEST_F(MainJobTest, NothingIsRestoredIntoARepositoryOrADataDirectory) {
  PostgresServer source;
  source.start();
  protect(source);
  backup();
  for (const auto& target :
       {repository() / "clusters" / "zz", repository() / "x", source.data_directory() / "base" / "zz"}) {
    const ProgramRun refused = pgstrata({"restore", "app", "--to", target.string()});
    EXPECT_EQ(refused.exit_code, 2) << refused.describe();
    EXPECT_FALSE(std::filesystem::exists(target));
  }
}

}  // namespace
}  // namespace pgstrata::testing
