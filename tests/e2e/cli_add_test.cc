// `add`: what it checks on a source, what it says, and what it never says.
#include <fstream>
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/cli_test.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(CliTest, AddSaysEverythingThatHasToChange) {
  PostgresServer server(
      {.settings = {"wal_level = minimal", "max_wal_senders = 0", "max_replication_slots = 0"}});
  server.start();
  init();
  const ProgramRun run = pgstrata({"add", "app", "--url", server.url(), "--output", "json"});
  EXPECT_EQ(run.exit_code, 1) << run.describe();
  const auto json = nlohmann::json::parse(run.out);
  EXPECT_EQ(json.at("added"), false);
  std::string fixes;
  for (const auto& problem : json.at("problems")) fixes += problem.at("fix").get<std::string>() + "\n";
  EXPECT_THAT(fixes, HasSubstr("wal_level = 'replica'"));
  EXPECT_THAT(fixes, HasSubstr("max_wal_senders = 10"));
  EXPECT_THAT(fixes, HasSubstr("max_replication_slots = 10"));
  EXPECT_THAT(run.err, HasSubstr("the source is not ready"));
}

TEST_F(CliTest, AddAgainSaysSoAndAnUnknownClusterIsNotFound) {
  PostgresServer server;
  server.start();
  init();
  ASSERT_EQ(pgstrata({"add", "my-app", "--url", server.url()}).exit_code, 0);
  EXPECT_EQ(server.query_value("SELECT slot_name FROM pg_replication_slots"), "pgstrata_my_app");
  const ProgramRun again = pgstrata({"add", "my-app", "--url", server.url()});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("registered already"));
  EXPECT_EQ(pgstrata({"backup", "other"}).exit_code, 3);
  EXPECT_EQ(pgstrata({"add", "Bad Name", "--url", server.url()}).exit_code, 2);
  EXPECT_EQ(pgstrata({"add", "app2", "--url", server.url(), "--capture", "logical"}).exit_code, 1);
}

TEST_F(CliTest, AddFinishesWhatAnEarlierOneBegan) {
  PostgresServer server;
  server.start();
  init();
  server.query("SELECT pg_create_physical_replication_slot('pgstrata_app', true)");
  const std::string kept = server.query_value("SELECT restart_lsn FROM pg_replication_slots");
  // It may be another repository's.
  const ProgramRun refused = pgstrata({"add", "app", "--url", server.url()});
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.err, HasSubstr("\"pgstrata_app\" already: another repository may stream through it"));
  EXPECT_THAT(refused.err, HasSubstr("`--slot NAME`"));
  EXPECT_THAT(refused.err, HasSubstr("`--slot pgstrata_app`"));
  const ProgramRun run =
      pgstrata({"add", "app", "--url", server.url(), "--slot", "pgstrata_app", "--output", "json"});
  ASSERT_EQ(run.exit_code, 0) << run.describe();
  EXPECT_EQ(nlohmann::json::parse(run.out).at("slot_reused"), true);
  EXPECT_EQ(server.query_value("SELECT restart_lsn FROM pg_replication_slots"), kept);
}

TEST_F(CliTest, ASecondRepositoryOfTheSameClusterTakesASlotOfItsOwn) {
  PostgresServer server;
  server.start();
  init();
  ASSERT_EQ(pgstrata({"add", "app", "--url", server.url()}).exit_code, 0);
  const std::string second = path("second-repository").string();
  const auto in_second = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--repo", second});
    return pgstrata(arguments);
  };
  ASSERT_EQ(in_second({"init"}).exit_code, 0);
  EXPECT_EQ(in_second({"add", "app", "--url", server.url()}).exit_code, 1);
  const auto stream = start_pgstrata({"stream", "app"});
  wait_until("the stream to use its slot",
             [&] { return server.query_value("SELECT active FROM pg_replication_slots") == "t"; });
  EXPECT_EQ(in_second({"add", "app", "--url", server.url(), "--slot", "pgstrata_app"}).exit_code, 7);
  const ProgramRun own =
      in_second({"add", "app", "--url", server.url(), "--slot", "second_app", "--output", "json"});
  ASSERT_EQ(own.exit_code, 0) << own.describe();
  EXPECT_EQ(nlohmann::json::parse(own.out).at("slot"), "second_app");
  EXPECT_EQ(nlohmann::json::parse(own.out).at("slot_reused"), false);
  EXPECT_EQ(server.query_value("SELECT count(*) FROM pg_replication_slots"), "2");
}

TEST_F(CliTest, AddOfOneServerUnderTwoNamesIsWarnedOf) {
  PostgresServer server;
  server.start();
  PostgresServer another;
  another.start();
  init();
  ASSERT_EQ(pgstrata({"add", "app", "--url", server.url()}).exit_code, 0);
  const ProgramRun twice = pgstrata({"add", "app2", "--url", server.url()});
  EXPECT_EQ(twice.exit_code, 0) << twice.describe();
  EXPECT_THAT(twice.err, HasSubstr("the system identifier of cluster app, which is registered at "));
  EXPECT_THAT(twice.err, HasSubstr("SELECT pg_drop_replication_slot('pgstrata_app2');"));
  const ProgramRun other = pgstrata({"add", "other", "--url", another.url()});
  EXPECT_EQ(other.exit_code, 0) << other.describe();
  EXPECT_THAT(other.err, Not(HasSubstr("system identifier of cluster")));
}

TEST_F(CliTest, AddSaysWhyItCannotConnect) {
  PostgresServer server;
  server.start();
  init();
  server.query("CREATE ROLE reader LOGIN");
  const ProgramRun refused = pgstrata({"add", "app", "--url", server.url("reader")});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.out + refused.err, HasSubstr("REPLICATION"));
  const ProgramRun nobody = pgstrata({"add", "app", "--url", "postgresql://postgres@127.0.0.1:1/postgres"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.err, StartsWith("pgstrata: error: "));
  const ProgramRun nonsense = pgstrata({"add", "app", "--url", "postgresql://u:s3cret@[bad/x"});
  EXPECT_EQ(nonsense.exit_code, 2);
  EXPECT_THAT(nonsense.err, Not(HasSubstr("s3cret")));
}

// Wherever the password could turn up: output, messages, the repository itself.
TEST_F(CliTest, APasswordIsNeverShownNorStored) {
  PostgresServer server;
  const std::string password = "s3cret-and-long-to-find";
  require_passwords(server);
  server.start();
  server.query(fmt::format("CREATE ROLE backup LOGIN REPLICATION PASSWORD '{}'", password));
  init_plain();
  const std::string url =
      fmt::format("postgresql://backup:{}@127.0.0.1:{}/postgres", password, server.port());
  const ProgramRun wrong =
      pgstrata({"add", "app", "--url",
                fmt::format("postgresql://backup:wr0ngwrong@127.0.0.1:{}/postgres", server.port())});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.out + wrong.err, Not(HasSubstr("wr0ngwrong")));
  const ProgramRun added = pgstrata({"add", "app", "--url", url, "-v", "--output", "json"});
  ASSERT_EQ(added.exit_code, 0) << added.describe();
  EXPECT_THAT(added.out + added.err, Not(HasSubstr(password)));
  // It will be missed.
  EXPECT_THAT(added.err, HasSubstr(".pgpass"));
  for (const ProgramRun& run :
       {pgstrata({"status", "-v"}), pgstrata({"status", "--output", "json"}),
        pgstrata({"backup", "app", "--base", "-v"}), pgstrata({"backup", "app", "--url", url, "-v"})}) {
    EXPECT_THAT(run.out + run.err, Not(HasSubstr(password)));
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(repository())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(read_text(entry.path()), Not(HasSubstr(password))) << entry.path();
  }
}

}  // namespace
}  // namespace pgstrata::testing
