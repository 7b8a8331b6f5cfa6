// The commands together: protect a cluster, look at it, bring a moment back.
#include <csignal>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/timestamp.h"
#include "e2e/cli_test.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class CliProtectTest : public CliTest {
 protected:
  void SetUp() override {
    server_.start();
    server_.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    init();
    const ProgramRun added = pgstrata({"add", "app", "--url", server_.url()});
    ASSERT_EQ(added.exit_code, 0) << added.describe();
  }
  Json json_of(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramRun run = pgstrata(std::move(arguments));
    EXPECT_EQ(run.exit_code, 0) << run.describe();
    return Json::parse(run.out);
  }
  std::vector<std::string> problem_codes() {
    std::vector<std::string> codes;
    const Json status = json_of({"status", "app"});
    for (const Json& problem : status.at("clusters").at(0).at("problems"))
      codes.push_back(problem.at("code"));
    return codes;
  }
  void wait_until_streaming() {
    wait_until("the stream's lease", [&] {
      return !json_of({"status", "app"}).at("clusters").at(0).at("stream").is_null();
    });
  }

  PostgresServer server_;
};

TEST_F(CliProtectTest, ABackupAloneBringsItsOwnWal) {
  EXPECT_THAT(problem_codes(), ::testing::Contains("no_snapshot"));
  const ProgramRun before = pgstrata({"status", "app"});
  EXPECT_THAT(before.out, HasSubstr("  lag            unknown (no coverage)\n"));
  EXPECT_THAT(before.out, HasSubstr("  replay debt    unknown (no coverage)\n"));
  const Json backup = json_of({"backup", "app", "--base"});
  EXPECT_EQ(backup.at("beside_stream"), false);
  const Json list = json_of({"snapshot", "list", "app"});
  ASSERT_EQ(list.at("snapshots").size(), 1U);
  EXPECT_EQ(list.at("snapshots").at(0).at("id"), backup.at("snapshot").at("id"));
  EXPECT_EQ(list.at("snapshots").at(0).at("kind"), "base");
  const Json status = json_of({"status"});
  const Json& cluster = status.at("clusters").at(0);
  ASSERT_EQ(cluster.at("coverage").size(), 1U);
  EXPECT_GT(cluster.at("stored").at("bytes"), 0);
  EXPECT_GT(cluster.at("replay_debt_seconds"), 0.0);
  EXPECT_GE(cluster.at("worst_replay_debt_seconds"), cluster.at("replay_debt_seconds"));
  EXPECT_EQ(cluster.at("source").at("reachable"), true);
  EXPECT_THAT(pgstrata({"status"}).out, HasSubstr("RESTORABLE FROM"));
  EXPECT_EQ(json_of({"verify"}).at("sound"), true);
}

TEST_F(CliProtectTest, AStreamAndABackupBelongTogetherAndTwoOfAKindDoNot) {
  const auto stream = start_pgstrata({"stream", "app"});
  wait_until_streaming();
  const ProgramRun second = pgstrata({"stream", "app"});
  EXPECT_EQ(second.exit_code, 7) << second.describe();
  EXPECT_THAT(second.err, HasSubstr("process " + std::to_string(stream->pid())));
  EXPECT_EQ(json_of({"backup", "app", "--base"}).at("beside_stream"), true);
  const auto stopping = std::chrono::steady_clock::now();
  const ProgramRun stopped = stream->terminate();
  EXPECT_EQ(stopped.exit_code, 0) << stopped.describe();
  EXPECT_LT(std::chrono::steady_clock::now() - stopping, std::chrono::seconds(2));
  EXPECT_TRUE(json_of({"status", "app"}).at("clusters").at(0).at("stream").is_null());
}

TEST_F(CliProtectTest, StatusIsTheSameWithoutTheSource) {
  json_of({"backup", "app", "--base"});
  const Json before = json_of({"status", "app"}).at("clusters").at(0);
  server_.kill9();
  const Json after = json_of({"status", "app"}).at("clusters").at(0);
  EXPECT_EQ(before.at("coverage"), after.at("coverage"));
  EXPECT_EQ(after.at("source").at("reachable"), false);
  EXPECT_THAT(problem_codes(), ::testing::Contains("source_unreachable"));
  EXPECT_TRUE(after.at("lag_bytes").is_null());
}

TEST_F(CliProtectTest, ReplayDebtGrowsWithTheWalAndANewSnapshotPaysItOff) {
  const auto debt = [&](const char* which) {
    return json_of({"status", "app"}).at("clusters").at(0).at(which).get<double>();
  };
  json_of({"backup", "app", "--base"});
  const double before = debt("replay_debt_seconds");
  EXPECT_LT(before, 1.0);
  server_.query("INSERT INTO t SELECT generate_series(1, 1000000)");  // a record each
  const std::string flushed = server_.query_value("SELECT pg_current_wal_flush_lsn()");
  ASSERT_EQ(pgstrata({"stream", "app", "--until-lsn", flushed}).exit_code, 0);
  const double grown = debt("replay_debt_seconds");
  EXPECT_GT(grown, before + 2.0);
  EXPECT_LT(grown, before + 8.0);
  EXPECT_THAT(pgstrata({"status"}).out, HasSubstr("  replay debt    "));
  json_of({"backup", "app", "--base"});
  EXPECT_LT(debt("replay_debt_seconds"), 1.0);
  EXPECT_GE(debt("worst_replay_debt_seconds"), grown);
}

// In bytes: what the source has flushed beyond what is stored. In seconds: since the newest moment that is
// known to be complete.
TEST_F(CliProtectTest, LagIsWhatTheSourceIsAheadInBytesAndSeconds) {
  const auto flushed = [&] { return server_.query_value("SELECT pg_current_wal_flush_lsn()"); };
  struct Lag {
    Json cluster;
    std::int64_t bytes_at_least = 0;  // by the server, before and after it was asked
    std::int64_t bytes_at_most = 0;
    double seconds_at_least = 0;
    double seconds_at_most = 0;
    Timestamp complete_until;
  };
  const auto measure = [&] {
    Lag lag;
    const auto flushed_before = flushed();
    const auto asked = system_clock().now();
    lag.cluster = json_of({"status", "app"}).at("clusters").at(0);
    const auto answered = system_clock().now();
    const auto flushed_after = flushed();
    const Json range = lag.cluster.at("coverage").at(0);
    const auto beyond = [&](const std::string& lsn) {
      return std::stoll(server_.query_value(fmt::format("SELECT pg_wal_lsn_diff('{}', '{}')::bigint", lsn,
                                                        range.at("to_lsn").get<std::string>())));
    };
    const auto seconds_since = [&](Timestamp moment) {
      return std::chrono::duration<double>(moment - lag.complete_until).count();
    };
    lag.complete_until = parse_rfc3339(range.at("to_time").get<std::string>()).value();
    lag.bytes_at_least = beyond(flushed_before);
    lag.bytes_at_most = beyond(flushed_after);
    lag.seconds_at_least = seconds_since(asked);
    lag.seconds_at_most = seconds_since(answered);
    return lag;
  };
  const auto expect_right = [](const Lag& lag) {
    EXPECT_GE(lag.cluster.at("lag_bytes"), std::max<std::int64_t>(lag.bytes_at_least, 0)) << lag.cluster;
    EXPECT_LE(lag.cluster.at("lag_bytes"), std::max<std::int64_t>(lag.bytes_at_most, 0)) << lag.cluster;
    EXPECT_GE(lag.cluster.at("lag_seconds"), lag.seconds_at_least) << lag.cluster;
    EXPECT_LE(lag.cluster.at("lag_seconds"), lag.seconds_at_most) << lag.cluster;
  };
  const auto last_commit = [&] {
    return Timestamp{std::stoll(server_.query_value(
        "SELECT (extract(epoch FROM (pg_last_committed_xact()).timestamp) * 1000000)::bigint"))};
  };

  json_of({"backup", "app", "--base"});
  server_.query("INSERT INTO t VALUES (1001)");
  const auto stored = last_commit();
  ASSERT_EQ(pgstrata({"stream", "app", "--until-lsn", flushed()}).exit_code, 0);
  const Lag none = measure();
  expect_right(none);
  EXPECT_LT(none.cluster.at("lag_bytes"), 100'000) << "all but what the server does by itself";
  EXPECT_GE(none.complete_until, stored);

  server_.query("INSERT INTO t SELECT generate_series(1, 100000)");
  const auto missing = last_commit();
  const Lag some = measure();
  expect_right(some);
  EXPECT_GT(some.cluster.at("lag_bytes"), 5'000'000);
  EXPECT_EQ(some.cluster.at("coverage"), none.cluster.at("coverage")) << "nothing has come since";
  EXPECT_LT(some.complete_until, missing);
  wait_until("a second to pass", [&] { return system_clock().now() - missing > std::chrono::seconds(1); });
  const Lag later = measure();
  expect_right(later);
  EXPECT_GT(later.cluster.at("lag_seconds"), 1.0);

  ASSERT_EQ(pgstrata({"stream", "app", "--until-lsn", flushed()}).exit_code, 0);
  const Lag caught_up = measure();
  expect_right(caught_up);
  EXPECT_LT(caught_up.cluster.at("lag_bytes"), 100'000);
  EXPECT_GE(caught_up.complete_until, missing);
}

TEST_F(CliProtectTest, AMomentComesBack) {
  const auto stream = start_pgstrata({"stream", "app"});
  wait_until_streaming();
  json_of({"backup", "app", "--base"});
  server_.query("INSERT INTO t VALUES (1001)");
  const std::string lsn = server_.query_value("SELECT pg_current_wal_lsn()");
  server_.query("DELETE FROM t");
  const std::string after = server_.query_value("SELECT pg_current_wal_lsn()");
  const ProgramRun stopped = stream->terminate();
  ASSERT_EQ(stopped.exit_code, 0) << stopped.describe();
  ASSERT_EQ(pgstrata({"stream", "app", "--until-lsn", after}).exit_code, 0);

  const ProgramRun beyond = pgstrata({"restore", "app", "--to", path("none").string(), "--lsn", "FF/0"});
  EXPECT_EQ(beyond.exit_code, 4) << beyond.describe();
  EXPECT_THAT(beyond.err, HasSubstr("hint: "));
  EXPECT_FALSE(std::filesystem::exists(path("none")));
  // By now the newest moment there is lies a little back.
  const ProgramRun now = pgstrata({"restore", "app", "--to", path("none").string(), "--at", "now"});
  EXPECT_EQ(now.exit_code, 4) << now.describe();
  EXPECT_THAT(now.err, HasSubstr("`--latest` restores everything up to "));
  const ProgramRun later =
      pgstrata({"restore", "app", "--to", path("none").string(), "--at", "2099-01-01 10:00 UTC"});
  EXPECT_EQ(later.exit_code, 4) << later.describe();
  EXPECT_THAT(later.err, ::testing::Not(HasSubstr("--latest")));
  // A time is taken as it was printed.
  const Json ranges = json_of({"status", "app"}).at("clusters").at(0).at("coverage");
  const Timestamp newest = parse_rfc3339(ranges.at(0).at("to_time").get<std::string>()).value();
  json_of({"restore", "app", "--to", path("newest").string(), "--at", to_display(newest)});

  const std::string restored = path("restored").string();
  const Json outcome = json_of({"restore", "app", "--to", restored, "--lsn", lsn, "--exclusive"});
  EXPECT_TRUE(outcome.at("started").is_null());
  EXPECT_EQ(outcome.at("plan").at("timeline"), 1);
  PostgresServer copy = PostgresServer::adopt(restored);
  copy.start();
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM t"), "1001");
}

TEST_F(CliProtectTest, APasswordInAnArgumentIsNotShownToTheMachinesUsers) {
  const auto stream = start_pgstrata(
      {"stream", "app", "--url", fmt::format("postgresql://postgres:s3cret@127.0.0.1:{}/", server_.port())});
  wait_until_streaming();
  const std::string shown = read_text(fmt::format("/proc/{}/cmdline", stream->pid()));
  EXPECT_THAT(shown, HasSubstr("postgresql://postgres:***@127.0.0.1"));
  EXPECT_THAT(shown, ::testing::Not(HasSubstr("s3cret")));
  const ProgramRun stopped = stream->terminate();
  EXPECT_EQ(stopped.exit_code, 0) << stopped.describe();
}

TEST_F(CliProtectTest, AStoppedBackupLeavesNothingHalfMade) {
  server_.query(
      "CREATE TABLE big AS SELECT n, md5(n::text) || md5((n + 1)::text) AS x FROM generate_series(1, "
      "1000000) n");
  const auto backup = start_pgstrata({"backup", "app", "--base"});
  wait_until("the backup's lease", [&] {
    return !json_of({"status", "app"}).at("clusters").at(0).at("backup").is_null() || !backup->running();
  });
  const auto stopping = std::chrono::steady_clock::now();
  const ProgramRun stopped = backup->terminate();
  EXPECT_LT(std::chrono::steady_clock::now() - stopping, std::chrono::seconds(2));
  if (stopped.exit_code == 0) GTEST_SKIP() << "the backup was quicker than the signal";
  EXPECT_EQ(stopped.exit_code, 1) << stopped.describe();
  EXPECT_THAT(stopped.err, HasSubstr("stopped on request"));
  EXPECT_TRUE(json_of({"snapshot", "list", "app"}).at("snapshots").empty());
  json_of({"backup", "app", "--base"});
}

}  // namespace
}  // namespace pgstrata::testing
