// What the repository makes of a cluster that was rolled back, promoted or copied.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "e2e/numbered_rows.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TimelinesTest : public MainJobTest {
 protected:
  [[nodiscard]] std::string rows(const std::string& name, std::vector<std::string> target) const {
    return restore_and_start(name, std::move(target))->query_value(rows_of_t);
  }
};

// A restored copy becomes the source, while what the old one went on to write is kept too.
TEST_F(TimelinesTest, EachTimelineHasItsOwnPast) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  start_stream(source);
  backup();
  insert_row(source, 1);
  insert_row(source, 2);
  const std::string fork = server_time(source);
  const Commit third = insert_row(source, 3);
  wait_until_durable(source);
  stop_stream();

  const auto successor = restore_and_start("successor", {"--at", fork});
  // PostgreSQL notes in whole seconds when a timeline begins: not before the next one is it known to have
  // begun.
  const auto now = [&] {
    return successor->query_value(fmt::format("SELECT to_char(clock_timestamp() {})", utc));
  };
  const std::string beginning = now();
  wait_until("a second that is the new timeline's alone", [&] {
    return successor->query_value(fmt::format(
               "SELECT date_trunc('second', clock_timestamp()) > timestamptz '{}'", beginning)) == "t";
  });
  const std::string begun = now();
  successor->query("SELECT pg_create_physical_replication_slot('pgstrata_app', true)");
  successor->query("INSERT INTO t VALUES (102)");
  const std::string end = successor->query_value("SELECT pg_current_wal_flush_lsn()");
  const std::string place =
      fmt::format("host={} port={} user=backup dbname=postgres", successor->host(), successor->port());
  const Json stream = json_of({"stream", "app", "--url", place, "--new-primary", "--until-lsn", end});
  EXPECT_EQ(stream.at("timeline"), 2);

  EXPECT_EQ(rows("newest", {"--latest"}), "1,2,102");
  const Json warned = restore("warned", {"--latest"}).at("plan").at("warnings");
  EXPECT_THAT(warned.dump(), HasSubstr("add --timeline 1 if those are meant"));
  EXPECT_EQ(rows("newest_fork", {"--at", fork}), "1,2");
  EXPECT_EQ(rows("old", {"--latest", "--timeline", "1"}), "1,2,3");
  EXPECT_EQ(rows("old_at", {"--at", third.time, "--timeline", "1"}), "1,2,3");
  // At that moment the cluster was on timeline 1: timeline 2 began only afterwards.
  const ProgramRun between = pgstrata({"restore", "app", "--to", path("none").string(), "--at", third.time});
  EXPECT_EQ(between.exit_code, 4) << between.describe();
  EXPECT_THAT(between.err, HasSubstr("add --timeline 1"));
  EXPECT_EQ(rows("new_between", {"--at", third.time, "--timeline", "2"}), "1,2");
  EXPECT_EQ(rows("new_begun", {"--at", begun}), "1,2");
  EXPECT_EQ(rows("old_xid", {"--xid", third.xid, "--timeline", "1", "--exclusive"}), "1,2");
  const ProgramRun elsewhere =
      pgstrata({"restore", "app", "--to", path("none").string(), "--timeline", "1", "--lsn", end});
  EXPECT_EQ(elsewhere.exit_code, 4) << elsewhere.describe();
  EXPECT_THAT(elsewhere.err, HasSubstr("Timeline 2 has it: add --timeline 2"));
}

// After a promotion in good order nothing lies beyond the fork, and its segment is there on both timelines.
TEST_F(TimelinesTest, TheOldTimelineIsFollowedUpToTheFork) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  start_stream(source);
  backup();
  insert_row(source, 1);
  const std::string moment = server_time(source);
  insert_row(source, 2);
  wait_until_durable(source);
  source.restart_promoted();
  insert_row(source, 3);
  wait_until_durable(source);
  stop_stream();
  EXPECT_EQ(rows("old", {"--at", moment, "--timeline", "1"}), "1");
  EXPECT_EQ(rows("old_latest", {"--latest", "--timeline", "1"}), "1,2");
  EXPECT_EQ(rows("new_before", {"--at", moment}), "1");
  EXPECT_EQ(rows("newest", {"--latest"}), "1,2,3");
}

TEST_F(TimelinesTest, ACopyIsNoPrimaryUntilSomebodySaysSo) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  start_stream(source);
  backup();
  insert_row(source, 1);
  const std::string fork = server_time(source);
  insert_row(source, 2);
  wait_until_durable(source);
  stop_stream();
  const auto copy = restore_and_start("copy", {"--at", fork});
  const std::string place =
      fmt::format("host={} port={} user=backup dbname=postgres", copy->host(), copy->port());
  for (const auto& command : {std::vector<std::string>{"stream"}, {"backup", "--base"}}) {
    auto arguments = command;
    arguments.insert(arguments.end(), {"app", "--url", place});
    const ProgramRun refused = pgstrata(arguments);
    EXPECT_EQ(refused.exit_code, 1) << refused.describe();
    EXPECT_THAT(refused.err, HasSubstr("on timeline 2, and app is on timeline 1"));
    EXPECT_THAT(refused.err, HasSubstr("--new-primary"));
  }
  insert_row(source, 3);
  wait_until_durable(source);
  EXPECT_EQ(rows("unharmed", {"--latest"}), "1,2,3");

  // It was said by mistake, and is taken back.
  copy->query("INSERT INTO t VALUES (102)");
  const std::string end = copy->query_value("SELECT pg_current_wal_flush_lsn()");
  json_of({"stream", "app", "--url", place, "--new-primary", "--until-lsn", end});
  const auto problems = [&] {
    std::string codes;
    const Json status = json_of({"status", "app"});
    for (const Json& problem : status.at("clusters").at(0).at("problems"))
      codes += problem.at("code").get<std::string>() + " ";
    return codes;
  };
  EXPECT_THAT(problems(), HasSubstr("source_on_other_timeline"));
  insert_row(source, 4);
  const std::string back = source.query_value("SELECT pg_current_wal_flush_lsn()");
  json_of({"stream", "app", "--new-primary", "--until-lsn", back});
  EXPECT_THAT(problems(), Not(HasSubstr("source_on_other_timeline")));
  insert_row(source, 5);
  wait_until_durable(source);  // a stream that is told nothing
  EXPECT_EQ(rows("newest", {"--latest"}), "1,2,3,4,5");
  EXPECT_EQ(rows("copys", {"--latest", "--timeline", "2"}), "1,102");
  EXPECT_EQ(pgstrata({"verify", "app"}).exit_code, 0);
}

// Said of the old primary after two failovers, and undone by the stream that finds its way back by itself.
TEST_F(TimelinesTest, AnOldPrimaryThatWasDeclaredByMistakeIsLeftAgain) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t (n int)");
  protect(source);
  backup();
  insert_row(source, 1);
  wait_until_durable(source);
  source.stop();
  ASSERT_EQ(run_program({"/bin/cp", "-a", source.data_directory().string(), path("old").string()}).exit_code,
            0);
  source.restart_promoted();
  insert_row(source, 2);
  wait_until_durable(source);
  source.restart_promoted();
  insert_row(source, 3);
  wait_until_durable(source);
  {
    auto old = PostgresServer::adopt(path("old"));
    old.start();
    old.query("INSERT INTO t VALUES (101)");
    const std::string end = old.query_value("SELECT pg_current_wal_flush_lsn()");
    const std::string place = fmt::format("host={} port={} user=backup dbname=postgres",
                                          old.socket_directory().string(), old.port());
    json_of({"stream", "app", "--url", place, "--new-primary", "--until-lsn", end});
    EXPECT_EQ(json_of({"status", "app"}).at("clusters").at(0).at("coverage").at(0).at("timeline"), 1);
  }
  insert_row(source, 4);
  wait_until_durable(source);
  EXPECT_EQ(rows("newest", {"--latest"}), "1,2,3,4");
  EXPECT_EQ(rows("mistaken", {"--latest", "--timeline", "1"}), "1,101");
}

}  // namespace
}  // namespace pgstrata::testing
