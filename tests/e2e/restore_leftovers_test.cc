// What the source's own configuration holds from other times and for other places, and what a restored copy
// must not make of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RestoreOverLeftovers : public MainJob, public ::testing::TestWithParam<int> {};

// The source was restored once, by hand, and nobody took that out of its postgresql.conf. There it does
// nothing, but in recovery it would.
TEST_P(RestoreOverLeftovers, RecoverySettingsOfAnEarlierTimeDoNothing) {
  const auto ended = path("recovery_end_command_was_run");
  PostgresServer source({.major = GetParam(),
                         .settings = {"recovery_target = 'immediate'", "recovery_target_action = 'promote'",
                                      "recovery_end_command = 'touch " + ended.string() + "'",
                                      "archive_cleanup_command = 'false'", "recovery_min_apply_delay = 1h"}});
  source.start();
  protect(source);
  backup();
  source.query("CREATE TABLE late AS SELECT generate_series(1, 100) AS n");
  const std::string xid =
      source.query_value("INSERT INTO late VALUES (101) RETURNING pg_current_xact_id()::text");
  source.query("INSERT INTO late VALUES (102)");
  wait_until_durable(source);
  source.stop();

  const auto latest = restore_and_start("latest", {"--latest"});
  EXPECT_EQ(latest->query_value("SELECT count(*) FROM late"), "102");
  EXPECT_FALSE(std::filesystem::exists(ended));
  EXPECT_EQ(latest->query_value("SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' "
                                "AND (name LIKE '%recovery%' OR name LIKE '%command')"),
            "0");
  const auto at_xid = restore_and_start("at_xid", {"--xid", xid});
  EXPECT_EQ(at_xid->query_value("SELECT count(*) FROM late"), "101");
  EXPECT_FALSE(std::filesystem::exists(ended));
}

INSTANTIATE_TEST_SUITE_P(Majors, RestoreOverLeftovers, ::testing::ValuesIn(newest_major()));

class RestoreLeftoversTest : public MainJobTest {};

// With the source down, its data directory is free to be opened by whoever believes its postgresql.conf.
TEST_F(RestoreLeftoversTest, ACopyIsStartedOnItselfWhateverPlacesTheSourceNames) {
  PostgresServer source;
  const auto rules = path("rules.conf");
  source.configure({"data_directory = '" + source.data_directory().string() + "'",
                    "external_pid_file = '" + path("source.pid").string() + "'",
                    "hba_file = '" + rules.string() + "'"});
  std::filesystem::copy_file(source.data_directory() / "pg_hba.conf", rules);
  std::filesystem::permissions(rules, std::filesystem::perms::all);
  source.start();
  protect(source);
  backup();
  source.query("CREATE TABLE late AS SELECT generate_series(1, 100) AS n");
  const std::string lsn = wait_until_durable(source);
  source.query("DROP TABLE late");
  wait_until_durable(source);
  source.stop();

  const auto copy = restore_and_start("copy", {"--lsn", lsn});
  EXPECT_EQ(copy->query_value("SHOW data_directory"), path("copy").string());
  EXPECT_EQ(copy->query_value("SELECT count(*) FROM late"), "100");
  EXPECT_EQ(copy->query_value("SHOW hba_file"), rules.string());
  EXPECT_FALSE(std::filesystem::exists(source.data_directory() / "postmaster.pid"));
  EXPECT_FALSE(std::filesystem::exists(path("source.pid")));

  const ProgramRun by_hand = pgstrata({"restore", "app", "--to", path("by_hand"), "--lsn", lsn});
  ASSERT_EQ(by_hand.exit_code, 0) << by_hand.describe();
  EXPECT_THAT(by_hand.err, HasSubstr("says data_directory = \"" + source.data_directory().string()));
  EXPECT_THAT(by_hand.err, HasSubstr("says hba_file = \"" + rules.string()));
  EXPECT_THAT(read_text(path("by_hand") / "postgresql.auto.conf"), HasSubstr("\nexternal_pid_file = ''\n"));
  const ProgramRun own_rules = pgstrata({"restore", "app", "--to", path("by_hand"), "--delta", "--set",
                                         "hba_file=" + (path("by_hand") / "pg_hba.conf").string()});
  EXPECT_THAT(own_rules.err, Not(HasSubstr("hba_file")));
}

}  // namespace
}  // namespace pgstrata::testing
