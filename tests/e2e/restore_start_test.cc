// What `restore --start` must get right beside the data: settings that changed after the backup, what the
// started server inherits, and what an operator is told when it does not go well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RestoreAfterRaisedLimits : public MainJob, public ::testing::TestWithParam<int> {};

// The WAL says that the source now allows more than the configuration in the backup: recovery with
// hot_standby would wait for ever for somebody to raise it there too.
TEST_P(RestoreAfterRaisedLimits, RecoveryGoesOn) {
  PostgresServer source(
      {.major = GetParam(), .settings = {"max_connections = 30", "max_worker_processes = 4"}});
  source.start();
  protect(source);
  backup();
  source.configure({"max_connections = 60", "max_worker_processes = 12", "max_wal_senders = 15"});
  source.restart();
  source.query("CREATE TABLE late AS SELECT generate_series(1, 100) AS n");
  wait_until_durable(source);
  source.stop();

  const auto restored = restore_and_start("started", {"--latest"});
  EXPECT_EQ(restored->query_value("SELECT count(*) FROM late"), "100");
  EXPECT_EQ(restored->query_value("SHOW max_connections"), "30");
  restored->stop();
  EXPECT_EQ(read_text(path("started") / "postgresql.auto.conf").find("hot_standby"), std::string::npos);

  restore("by_hand", {"--latest"});
  PostgresServer by_hand = PostgresServer::adopt(path("by_hand"));
  by_hand.start();
  EXPECT_EQ(by_hand.query_value("SELECT count(*) FROM late"), "100");
}

INSTANTIATE_TEST_SUITE_P(Majors, RestoreAfterRaisedLimits, ::testing::ValuesIn(available_majors()));

class RestoreStartTest : public MainJobTest {
 protected:
  // A table of a hundred rows, in a backup and the WAL after it.
  void protect_rows() {
    source_.start();
    protect(source_);
    backup();
    source_.query("CREATE TABLE late AS SELECT generate_series(1, 100) AS n");
    wait_until_durable(source_);
  }
  PostgresServer source_;
};

TEST_F(RestoreStartTest, TheServerInheritsNoSecret) {
  protect_rows();
  auto variables = environment();
  variables["MY_PASSPHRASE"] = "secret one";
  variables["PGSTRATA_PASSPHRASE"] = "secret two";
  variables["PGPASSWORD"] = "secret three";
  variables["PGPASSFILE"] = "/secret/four";
  variables["LC_TIME"] = "C";
  const PortReservation port;
  const auto run = [&](std::vector<std::string> arguments) {
    const ProgramRun ran = run_pgstrata(std::move(arguments), variables);
    if (ran.exit_code != 0) throw TestFailure(ran.describe());
    return Json::parse(ran.out);
  };
  run({"key", "add", "--key-file", path("key"), "--new-passphrase-env", "MY_PASSPHRASE", "--output", "json"});
  const Json outcome = run({"restore", "app", "--to", path("started"), "--start", "--passphrase-env",
                            "MY_PASSPHRASE", "--set", fmt::format("port={}", port.port()), "--set",
                            "unix_socket_directories=" + directory().path().string(), "--set",
                            "listen_addresses=", "--output", "json"});
  const pid_t pid = outcome.at("started").at("process_id");
  const LeftRunningServer server(path("started"), directory().path(), port.port(), pid);
  EXPECT_EQ(server.query_value("SELECT count(*) FROM late"), "100");
  const std::string inherited = '\0' + read_text(fmt::format("/proc/{}/environ", pid));
  EXPECT_THAT(inherited, HasSubstr(std::string("\0PATH=", 6)));
  EXPECT_THAT(inherited, HasSubstr(std::string("\0HOME=", 6)));
  EXPECT_THAT(inherited, HasSubstr(std::string("\0LC_TIME=C", 10)));
  EXPECT_THAT(inherited, Not(HasSubstr("secret")));
  EXPECT_THAT(inherited, Not(HasSubstr("PGSTRATA")));
}

}  // namespace
}  // namespace pgstrata::testing
