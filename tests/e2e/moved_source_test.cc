// A cluster whose primary is elsewhere now: where it is registered, and what of the old one is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "e2e/numbered_rows.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* slots =
    "SELECT coalesce(string_agg(slot_name, ',' ORDER BY slot_name), '') FROM pg_replication_slots";

class MovedSourceTest : public MainJobTest {
 protected:
  void SetUp() override {
    source_.start();
    source_.query("CREATE TABLE t (n int)");
    protect(source_);
    backup();
    insert_row(source_, 1);
    wait_until_durable(source_);
  }

  // A standby that was promoted, while the old primary is back as if nothing had happened.
  std::unique_ptr<PostgresServer> fail_over() {
    source_.stop();
    const auto folder = path("successor");
    const auto copied = run_program({"/bin/cp", "-a", source_.data_directory().string(), folder.string()});
    if (copied.exit_code != 0) throw TestFailure(copied.describe());
    static_cast<void>(directory().write("successor/standby.signal", ""));
    auto successor = std::unique_ptr<PostgresServer>(new PostgresServer(PostgresServer::adopt(folder)));
    successor->start();
    successor->promote();
    successor->query("SELECT pg_drop_replication_slot('pgstrata_app')");
    source_.start();
    return successor;
  }

  [[nodiscard]] Json status() const { return json_of({"status", "app"}).at("clusters").at(0); }

  PostgresServer source_;
};

TEST_F(MovedSourceTest, IsRegisteredWhereItIsNow) {
  const auto successor = fail_over();
  insert_row(*successor, 2);
  const std::string place = successor->url("backup");

  const ProgramRun same = pgstrata({"add", "app", "--url", source_.url("backup")});
  EXPECT_EQ(same.exit_code, 1) << same.describe();
  EXPECT_THAT(same.err, HasSubstr("registered already, nothing to change"));
  PostgresServer stranger;
  stranger.start();
  const ProgramRun other = pgstrata({"add", "app", "--url", stranger.url()});
  EXPECT_EQ(other.exit_code, 1) << other.describe();
  EXPECT_THAT(other.err, HasSubstr("this server is another cluster"));
  EXPECT_EQ(stranger.query_value(slots), "");

  const ProgramRun moved = pgstrata({"add", "app", "--url", place});
  ASSERT_EQ(moved.exit_code, 0) << moved.describe();
  EXPECT_THAT(moved.out, HasSubstr("app is now at "));
  EXPECT_THAT(moved.out, HasSubstr(fmt::format("port='{}'", successor->port())));
  EXPECT_THAT(moved.out, HasSubstr("made the replication slot pgstrata_app"));
  EXPECT_THAT(moved.err, HasSubstr("the server is on timeline 2, app is on timeline 1"));
  EXPECT_THAT(moved.err, HasSubstr("SELECT pg_drop_replication_slot('pgstrata_app');"));
  EXPECT_EQ(successor->query_value(slots), "pgstrata_app");

  EXPECT_EQ(backup().at("timeline"), 2);
  const Json now = status();
  EXPECT_EQ(now.at("source").at("timeline"), 2);
  EXPECT_THAT(now.at("problems").dump(), Not(HasSubstr("source_on_other_timeline")));
  EXPECT_EQ(restore_and_start("newest", {"--latest"})->query_value(rows_of_t), "1,2");

  const ProgramRun back = pgstrata({"add", "app", "--url", source_.url("backup")});
  EXPECT_EQ(back.exit_code, 1) << back.describe();
  EXPECT_THAT(back.err, HasSubstr("on timeline 1, which app has left for timeline 2"));
  EXPECT_EQ(status().at("source").at("connection"), now.at("source").at("connection"));
}

TEST_F(MovedSourceTest, NoBackupIsMadeOfTheOldPrimary) {
  const auto successor = fail_over();
  insert_row(*successor, 2);
  const std::string place = successor->url("backup");
  const std::string end = successor->query_value("SELECT pg_current_wal_flush_lsn()");
  json_of({"stream", "app", "--url", place, "--new-primary", "--until-lsn", end});
  const std::size_t before = snapshots().size();
  const auto expect_refused = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"backup", "app", "--base"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto begun = std::chrono::steady_clock::now();
    const ProgramRun refused = pgstrata(arguments);
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(30));
    EXPECT_EQ(refused.exit_code, 1) << refused.describe();
    EXPECT_THAT(refused.err, HasSubstr("the server is on timeline 1, which app has left for timeline 2"));
    EXPECT_THAT(refused.err, HasSubstr("`pgstrata add app --url ...`"));
  };
  expect_refused({});
  {
    const BackgroundPgstrata stream({"stream", "app", "--url", place}, environment());
    wait_until("the stream",
               [&] { return successor->query_value("SELECT active FROM pg_replication_slots") == "t"; });
    expect_refused({});
    expect_refused({"--url", source_.url("backup")});
    expect_refused({"--new-primary"});
    EXPECT_EQ(json_of({"backup", "app", "--base", "--url", place}).at("snapshot").at("timeline"), 2);
  }
  EXPECT_EQ(snapshots().size(), before + 1);
}

// The stream is at the new place already.
TEST_F(MovedSourceTest, TakesTheSlotThatItsOwnStreamUses) {
  const std::string place = fmt::format("{}?application_name=moved", source_.url("backup"));
  start_stream(source_);
  const Json moved = json_of({"add", "app", "--url", place});
  EXPECT_EQ(moved.at("slot_reused"), true);
  EXPECT_EQ(moved.at("moved_from").at("slot"), "pgstrata_app");
  stop_stream();
  const Json renamed = json_of({"add", "app", "--url", place, "--slot", "another"});
  EXPECT_EQ(renamed.at("slot"), "another");
  EXPECT_EQ(renamed.at("slot_reused"), false);
  EXPECT_EQ(source_.query_value(slots), "another,pgstrata_app");
  insert_row(source_, 2);
  wait_until_durable(source_);
  EXPECT_EQ(status().at("source").at("slot"), "another");
}

}  // namespace
}  // namespace pgstrata::testing
