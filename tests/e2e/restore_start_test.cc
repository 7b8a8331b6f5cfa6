// What `restore --start` must get right beside the data: settings that changed after the backup, what the
// started server inherits, and what an operator is told when it does not go well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"

namespace pgstrata::testing {
namespace {

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

}  // namespace
}  // namespace pgstrata::testing
