// The tools of the end-to-end tests, tried on every major.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/commit_ledger.h"
#include "support/postgres_server.h"
#include "support/random_workload.h"
#include "support/test_seed.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string copy_of(const std::filesystem::path& data, const TemporaryDirectory& to) {
  const auto path = (to.path() / "copy").string();
  EXPECT_EQ(run_program({"/bin/cp", "-a", data.string(), path}).exit_code, 0);
  return path;
}

template <class Field>
LedgerEntry median(std::vector<LedgerEntry> entries, Field field) {
  std::ranges::sort(entries, {}, field);
  return entries.at(entries.size() / 2);
}

class EachMajor : public ::testing::TestWithParam<int> {};

TEST_P(EachMajor, RunsCommitsCrashesAndComesBack) {
  PostgresServer server({.major = GetParam(), .wal_segment_mib = 1});
  server.start();
  EXPECT_EQ(std::stoi(server.query_value("SHOW server_version")), GetParam());
  EXPECT_EQ(server.query_value("SHOW wal_segment_size"), "1MB");
  EXPECT_EQ(server.query_value("SHOW data_checksums"), "on");
  server.query("CREATE EXTENSION amcheck");
  EXPECT_EQ(SqlConnection(server.url()).value("SELECT 1"), "1");

  CommitLedger ledger({.conninfo = server.conninfo()});
  ledger.start();
  ledger.wait_for_commits(300);
  server.kill9();
  EXPECT_FALSE(server.running());
  server.start();
  ledger.wait_for_commits(ledger.acknowledged_count() + 100);  // the clients came back by themselves
  ledger.stop();
  EXPECT_THAT(ledger.check_all(server.conninfo()), IsEmpty());

  RandomWorkload workload(server.conninfo(), test_seed(20261121));
  workload.run(60);
  SqlConnection connection(server.conninfo());
  const auto before = content_digest(connection);
  server.restart();
  SqlConnection again(server.conninfo());
  EXPECT_EQ(content_digest(again), before);
}

INSTANTIATE_TEST_SUITE_P(Postgres, EachMajor, ::testing::ValuesIn(sample_majors()),
                         [](const auto& param) { return std::to_string(param.param); });

// A ledger that cannot find fault is worth nothing.
class LedgerFindsFaults : public ::testing::Test {
 protected:
  LedgerFindsFaults() {
    server_.start();
    ledger_.emplace(LedgerOptions{.conninfo = server_.conninfo(), .clients = 2});
    ledger_->start();
    ledger_->wait_for_commits(100);
    ledger_->stop();
  }
  std::string conninfo() const { return server_.conninfo(); }

  PostgresServer server_;
  std::optional<CommitLedger> ledger_;
};

TEST_F(LedgerFindsFaults, MissingUnknownTornAndRolledBackRows) {
  EXPECT_THAT(ledger_->check_all(conninfo()), IsEmpty());
  const LedgerEntry victim = ledger_->acknowledged()[50];
  server_.query(fmt::format("DELETE FROM commit_ledger WHERE client = {} AND sequence = {}", victim.client,
                            victim.sequence));
  EXPECT_THAT(ledger_->check_all(conninfo()), Contains(HasSubstr("missing")));
  EXPECT_THAT(ledger_->check_all(conninfo()), Contains(HasSubstr("there although")));
  EXPECT_THAT(ledger_->check_acknowledged_by(conninfo(), victim.acknowledged),
              Contains(HasSubstr("missing")));
  EXPECT_THAT(ledger_->check_acknowledged_by(conninfo(), ledger_->acknowledged()[0].acknowledged),
              Not(Contains(HasSubstr("missing"))));

  server_.query("INSERT INTO commit_ledger VALUES (0, 99999, 'x'), (1, -3, 'y')");
  server_.query("UPDATE commit_ledger SET payload = 'z' WHERE client = 0 AND sequence = 1");
  EXPECT_THAT(ledger_->check_all(conninfo()),
              AllOf(Contains(HasSubstr("never written")), Contains(HasSubstr("rolled back")),
                    Contains(HasSubstr("torn"))));
}

TEST_F(LedgerFindsFaults, RowsOnTheWrongSideOfATarget) {
  const Timestamp moment = median(ledger_->acknowledged(), &LedgerEntry::committed).committed;
  const Lsn position = median(ledger_->acknowledged(), &LedgerEntry::lsn_after).lsn_after;
  EXPECT_THAT(ledger_->check_time(conninfo(), moment), Contains(HasSubstr("from beyond the target")));
  EXPECT_THAT(ledger_->check_lsn(conninfo(), position), Contains(HasSubstr("from beyond the target")));
  server_.query("DELETE FROM commit_ledger");
  EXPECT_THAT(ledger_->check_time(conninfo(), moment), Contains(HasSubstr("missing")));
  EXPECT_THAT(ledger_->check_lsn(conninfo(), position), Contains(HasSubstr("missing")));
}

// What the ledger calls exact is what PostgreSQL's own recovery gives.
TEST(CommitLedger, AgreesWithStockRecovery) {
  const TemporaryDirectory scratch;
  const auto archive = scratch.make("archive");
  PostgresServer server(
      {.settings = {"archive_mode = on", fmt::format("archive_command = 'cp %p {}/%f'", archive.string())}});
  server.start();
  server.stop();
  const std::string copy = copy_of(server.data_directory(), scratch);
  server.start();
  CommitLedger ledger({.conninfo = server.conninfo()});
  ledger.start();
  ledger.wait_for_commits(1000);
  ledger.stop();
  server.query("SELECT pg_switch_wal()");
  server.stop();  // archives what is left

  const LedgerEntry middle = median(ledger.acknowledged(), &LedgerEntry::committed);
  const auto recover = [&](const std::string& target) {
    const TemporaryDirectory place;
    const std::string data = copy_of(copy, place);
    (void)run_program({"/usr/bin/touch", data + "/recovery.signal"});
    auto restored = PostgresServer::adopt(
        data, {"archive_mode=off", fmt::format("restore_command=cp {}/%f %p", archive.string()), target,
               "recovery_target_action=promote"});
    restored.start();
    wait_until("recovery to end", [&] { return restored.query_value("SELECT pg_is_in_recovery()") == "f"; });
    const bool by_time = target.starts_with("recovery_target_time");
    EXPECT_THAT(by_time ? ledger.check_time(restored.conninfo(), middle.committed)
                        : ledger.check_lsn(restored.conninfo(), middle.lsn_after),
                IsEmpty());
    EXPECT_THAT(ledger.check_all(restored.conninfo()), Not(IsEmpty()));
  };
  // This setting is read before time zone names are: PostgreSQL refuses a Z in it.
  std::string moment = to_rfc3339(middle.committed);
  moment.replace(moment.size() - 1, 1, "+00");
  recover("recovery_target_time=" + moment);
  recover("recovery_target_lsn=" + to_string(middle.lsn_after));
}

TEST(PostgresServer, StreamsToAStandbyThatIsPromoted) {
  PostgresServer server;
  server.start();
  const TemporaryDirectory scratch;
  const auto data = scratch.path() / "standby";
  const ProgramRun backup = run_program({server.binaries().program("pg_basebackup"), "-d", server.conninfo(),
                                         "-D", data.string(), "-c", "fast", "-R"});
  ASSERT_EQ(backup.exit_code, 0) << backup.describe();
  auto standby = PostgresServer::adopt(data);
  standby.start();
  EXPECT_EQ(standby.query_value("SELECT pg_is_in_recovery()"), "t");
  standby.promote();
  EXPECT_EQ(standby.query_value("SELECT pg_is_in_recovery()"), "f");
  EXPECT_NE(server.port(), standby.port());
  standby.stop(StopMode::immediate);
  EXPECT_TRUE(std::filesystem::exists(data));
}

TEST(PostgresServer, SaysWhyItDidNotStart) {
  PostgresServer server;
  server.configure({"shared_buffers = nonsense"});
  EXPECT_FALSE(server.try_start());
  EXPECT_THAT(server.log_text(), HasSubstr("nonsense"));
  EXPECT_THROW(server.start(), TestFailure);
}

TEST(CommitLedger, CutsOffAClientThatHangs) {
  PostgresServer server;
  server.start();
  CommitLedger ledger({.conninfo = server.conninfo()});
  server.configure({"synchronous_standby_names = 'nobody'"});
  server.reload();
  wait_until("the setting to hold",
             [&] { return server.query_value("SHOW synchronous_standby_names") == "nobody"; });
  ledger.start();  // no commit is ever acknowledged
  EXPECT_THROW(ledger.wait_for_commits(1, std::chrono::milliseconds(200)), TestFailure);
  ledger.stop(std::chrono::milliseconds(10));
  EXPECT_EQ(ledger.acknowledged_count(), 0U);
  EXPECT_THAT(ledger.check_all(server.conninfo()), IsEmpty());
}

class TestSeed : public ::testing::Test {
 protected:
  ~TestSeed() override {
    if (before_) ::setenv("PGSTRATA_TEST_SEED", before_->c_str(), 1);
    if (!before_) ::unsetenv("PGSTRATA_TEST_SEED");
  }
  // What it prints.
  static std::string printed(std::optional<std::uint64_t> usual, std::uint64_t& seed) {
    ::testing::internal::CaptureStdout();
    seed = test_seed(usual);
    return ::testing::internal::GetCapturedStdout();
  }

 private:
  std::optional<std::string> before_ = [] {
    const char* const value = std::getenv("PGSTRATA_TEST_SEED");
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  }();
};

TEST_F(TestSeed, IsPrintedAndGivenBack) {
  ::unsetenv("PGSTRATA_TEST_SEED");
  std::uint64_t seed = 0;
  EXPECT_THAT(printed(7, seed), HasSubstr("PGSTRATA_TEST_SEED=7 "));
  EXPECT_EQ(seed, 7U);
  const std::string unknown = printed(std::nullopt, seed);
  EXPECT_THAT(unknown, HasSubstr(fmt::format("PGSTRATA_TEST_SEED={} ", seed)));
  ::setenv("PGSTRATA_TEST_SEED", "18446744073709551615", 1);
  EXPECT_THAT(printed(7, seed), HasSubstr("PGSTRATA_TEST_SEED=18446744073709551615 "));
  EXPECT_EQ(seed, UINT64_MAX);
  EXPECT_EQ(LedgerOptions{}.seed, UINT64_MAX);
  ::setenv("PGSTRATA_TEST_SEED", "7 or so", 1);
  EXPECT_THROW(static_cast<void>(test_seed()), TestFailure);
}

TEST(RunProgram, ReportsExitCodeOutputAndDeathBySignal) {
  const ProgramRun run = run_program({"/bin/sh", "-c", "echo out; echo err >&2; cat; exit 3"}, {}, "in");
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(run.out, "out\nin");
  EXPECT_EQ(run.err, "err\n");
  EXPECT_EQ(run_program({"/bin/sh", "-c", "kill -9 $$"}).exit_code, 128 + SIGKILL);
  EXPECT_EQ(run_program({"/usr/bin/id", "-un"}).out, server_user().name + "\n");
}

}  // namespace
}  // namespace pgstrata::testing
