// `key rotate` and `shred` around a cluster that is being protected.
#include <nlohmann/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/cli_test.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(CliTest, TheKeyIsRotatedUnderAStreamAndTheClusterIsShredded) {
  PostgresServer server;
  server.start();
  init();
  ASSERT_EQ(pgstrata({"add", "app", "--url", server.url()}).exit_code, 0);
  {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_until("the stream to use its slot",
               [&] { return server.query_value("SELECT active FROM pg_replication_slots") == "t"; });
    const ProgramRun rotated = pgstrata({"key", "rotate", "--output", "json"});
    ASSERT_EQ(rotated.exit_code, 0) << rotated.describe();
    EXPECT_EQ(nlohmann::json::parse(rotated.out).at("clusters"), 1);
    // Beside the stream, with the new key.
    const ProgramRun backup = pgstrata({"backup", "app"});
    ASSERT_EQ(backup.exit_code, 0) << backup.describe();
    const ProgramRun busy = pgstrata({"shred", "app", "--confirm", "app"});
    EXPECT_EQ(busy.exit_code, 7) << busy.describe();
    EXPECT_EQ(stream->terminate().exit_code, 0);
  }
  EXPECT_EQ(pgstrata({"verify"}).exit_code, 0);

  const ProgramRun unasked = pgstrata({"shred", "app"});
  EXPECT_EQ(unasked.exit_code, 2) << unasked.describe();
  EXPECT_THAT(unasked.err, HasSubstr("--confirm app"));
  const ProgramRun told = pgstrata({"shred", "app", "--dry-run", "--output", "json"});
  ASSERT_EQ(told.exit_code, 0) << told.describe();
  EXPECT_EQ(nlohmann::json::parse(told.out).at("snapshots"), 1);
  EXPECT_EQ(nlohmann::json::parse(told.out).at("coverage").size(), 1U);

  const ProgramRun shredded = pgstrata({"shred", "app", "--confirm", "app"});
  ASSERT_EQ(shredded.exit_code, 0) << shredded.describe();
  EXPECT_THAT(shredded.out, HasSubstr("pg_drop_replication_slot('pgstrata_app')"));
  EXPECT_EQ(pgstrata({"status", "app"}).exit_code, 3);
  const ProgramRun status = pgstrata({"status", "--output", "json"});
  EXPECT_EQ(nlohmann::json::parse(status.out).at("clusters").size(), 0U) << status.describe();
  EXPECT_EQ(nlohmann::json::parse(status.out).at("problems").size(), 0U) << status.describe();
  EXPECT_EQ(pgstrata({"verify"}).exit_code, 0);
  EXPECT_EQ(pgstrata({"add", "app", "--url", server.url(), "--slot", "pgstrata_app"}).exit_code, 0);
}

}  // namespace
}  // namespace pgstrata::testing
