// kill -9 of everything, at moments that follow from a seed and from what can be seen in the repository.
#include <algorithm>
#include <random>

#include "e2e/fault_test.h"
#include "support/commit_ledger.h"
#include "support/cuttable_link.h"
#include "support/thoroughness.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FaultKillTest : public FaultTest {
 protected:
  // About 120 MB that hardly compress: several packs.
  static void fill(const PostgresServer& server) {
    server.query(
        "CREATE TABLE big AS SELECT n, (SELECT string_agg(md5(n::text || k::text), '') FROM "
        "generate_series(1, 30) k) AS x FROM generate_series(1, 110000) n");
  }
  // How much is in a folder; files that come and go meanwhile count or do not.
  static std::uintmax_t bytes_in(const std::filesystem::path& folder) {
    std::uintmax_t bytes = 0;
    std::error_code ignored;
    for (std::filesystem::recursive_directory_iterator at(folder, ignored), end; at != end;
         at.increment(ignored)) {
      const auto size = at->file_size(ignored);
      if (!ignored) bytes += size;
    }
    return bytes;
  }
  // When the folder holds that much; false when the program ended before.
  static bool reaches(BackgroundPgstrata& program, const std::filesystem::path& folder,
                      std::uintmax_t bytes) {
    wait_until("data to arrive", [&] { return bytes_in(folder) >= bytes || !program.running(); });
    return program.running();
  }
  void expect_sound() const {
    const ProgramRun run = pgstrata({"verify"});
    EXPECT_EQ(run.exit_code, 0) << run.describe();
  }

  const std::uint64_t seed_ = test_seed(20261121);
};

TEST_F(FaultKillTest, OfABackupAtManyMoments) {
  PostgresServer server;
  protect(server);
  fill(server);
  std::mt19937_64 random(seed_);
  const auto empty = bytes_in(repository());
  int killed = 0;
  for (int round = 0; round < (thorough() ? 10 : 5); ++round) {
    // Packs of killed runs stay, so the mark moves on with each round.
    const auto mark = round == 0 ? empty + 1 : bytes_in(repository()) + 1 + random() % 9'000'000;
    SCOPED_TRACE(fmt::format("seed {}, round {}, mark {}", seed_, round, mark));
    const auto backup = start_pgstrata({"backup", "app", "--base"});
    if (reaches(*backup, repository(), mark)) ++killed;
    backup->kill9();
    expect_sound();
    ASSERT_LE(snapshots(), static_cast<std::size_t>(round - killed + 2));
  }
  EXPECT_GE(killed, 2);
  const std::size_t before = snapshots();
  const Json last = json_of({"backup", "app", "--base"});
  EXPECT_EQ(snapshots(), before + 1);
  expect_sound();
  const auto copy = restored();
  EXPECT_EQ(copy->query_value("SELECT count(*) FROM big"), "110000");
}

TEST_F(FaultKillTest, OfAStreamAtManyMomentsLosesNoWal) {
  PostgresServer server({.wal_segment_mib = 1});
  protect(server);
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = seed_});
  std::mt19937_64 random(seed_);
  {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_for_lease("stream");
    ok({"backup", "app", "--base"});
    ledger.start();
    ledger.wait_for_commits(100);
    stream->kill9();
  }
  for (int round = 0; round < (thorough() ? 8 : 4); ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", seed_, round));
    const auto stream = start_pgstrata({"stream", "app"});
    const auto wanted = bytes_in(repository()) + 1 + random() % 400'000;
    ASSERT_TRUE(reaches(*stream, repository(), wanted)) << stream->wait().describe();
    stream->kill9();
  }
  ledger.stop();
  const std::string end = server.query_value("SELECT pg_current_wal_flush_lsn()");
  ok({"stream", "app", "--until-lsn", end});
  expect_sound();
  const Json coverage = status().at("coverage");
  ASSERT_EQ(coverage.size(), 1U);
  EXPECT_EQ(server.query_value(fmt::format("SELECT '{}'::pg_lsn >= '{}'::pg_lsn",
                                           coverage.at(0).at("to_lsn").get<std::string>(), end)),
            "t")
      << coverage << " but all was received up to " << end;
  server.kill9();
  const auto copy = restored();
  EXPECT_THAT(ledger.check_all(copy->conninfo()), IsEmpty());
}

TEST_F(FaultKillTest, OfARestoreAtManyMomentsAndTheSameCommandGoesOn) {
  PostgresServer server;
  protect(server);
  fill(server);
  ok({"backup", "app", "--base"});
  server.kill9();
  std::mt19937_64 random(seed_);
  const auto target = path("restored");
  int killed = 0;
  for (int round = 0; round < (thorough() ? 8 : 5); ++round) {
    const std::uintmax_t mark = random() % 120'000'000;
    SCOPED_TRACE(fmt::format("seed {}, round {}, mark {}", seed_, round, mark));
    std::filesystem::remove_all(target);
    const auto restore = start_pgstrata({"restore", "app", "--to", target.string()});
    wait_until("files to appear", [&] {
      return (std::filesystem::exists(target) && bytes_in(target) >= mark) || !restore->running();
    });
    if (restore->running()) ++killed;
    const ProgramRun ended = restore->kill9();
    if (ended.exit_code == 0) continue;
    // What is half there must not start as if it were whole; pg_control comes when the rest is durable.
    if (!std::filesystem::exists(target / "global" / "pg_control")) continue;
    PostgresServer whole = PostgresServer::adopt(target);
    start_and_recover(whole);
    EXPECT_EQ(whole.query_value("SELECT count(*) FROM big"), "110000");
    whole.kill9();
  }
  EXPECT_GE(killed, 2);
  ok({"restore", "app", "--to", target.string(), "--delta"});
  PostgresServer copy = PostgresServer::adopt(target);
  start_and_recover(copy);
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM big"), "110000");
}

// RPO 0: what the source acknowledged is in the repository, whatever dies.
TEST_F(FaultKillTest, OfEverythingLosesNoAcknowledgedCommitWithASynchronousStream) {
  PostgresServer server;
  protect(server);
  auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  ok({"backup", "app", "--base"});
  server.configure({"synchronous_standby_names = '*'"});
  server.reload();
  wait_until("commits to wait for the stream", [&] {
    return server.query_value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1";
  });
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = seed_});
  ledger.start();
  std::size_t commits = 0;
  for (int round = 0; round < 3; ++round) {
    commits = ledger.acknowledged_count() + 100;
    ledger.wait_for_commits(commits);
    stream->kill9();
    stream = start_pgstrata({"stream", "app"});
  }
  ledger.wait_for_commits(ledger.acknowledged_count() + 100);
  stream->kill9();
  server.kill9();
  ledger.stop(seconds(1));
  ASSERT_GE(ledger.acknowledged_count(), 300U);
  const auto copy = restored();
  EXPECT_THAT(ledger.check_all(copy->conninfo()), IsEmpty());
}

TEST_F(FaultKillTest, OfTheSourceWhileItStreamsAndIsBackedUp) {
  PostgresServer server;
  protect(server);
  fill(server);
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = seed_});
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  ledger.start();
  ledger.wait_for_commits(100);
  const auto backup = start_pgstrata({"backup", "app", "--base"});
  ASSERT_TRUE(reaches(*backup, repository(), bytes_in(repository()) + 5'000'000));
  server.kill9();
  const ProgramRun failed = backup->wait();
  expect_clear(failed, 1, "");
  EXPECT_EQ(snapshots(), 0U);
  server.start();
  ledger.wait_for_commits(ledger.acknowledged_count() + 100);
  ok({"backup", "app", "--base"});
  ledger.wait_for_commits(ledger.acknowledged_count() + 100);
  ledger.stop();
  wait_flushed(server);
  EXPECT_TRUE(stream->running());
  EXPECT_EQ(stream->terminate().exit_code, 0);
  server.kill9();
  const auto copy = restored();
  EXPECT_THAT(ledger.check_all(copy->conninfo()), IsEmpty());
}

TEST_F(FaultKillTest, OfTheConnectionMidStreamAndMidBackup) {
  PostgresServer server;
  protect(server);
  fill(server);
  CuttableLink link(server.port());
  const std::string url = fmt::format("postgresql://postgres@127.0.0.1:{}/postgres", link.port());
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = seed_});
  const auto stream = start_pgstrata({"stream", "app", "--url", url});
  wait_for_lease("stream");
  ledger.start();
  for (int round = 0; round < 3; ++round) {
    ledger.wait_for_commits(ledger.acknowledged_count() + 100);
    wait_until("the stream to come back", [&] {
      return server.query_value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1";
    });
    link.cut();
  }
  link.slow_down(20'000'000);  // so that it is not through before it is cut
  const auto backup = start_pgstrata({"backup", "app", "--base", "--url", url});
  ASSERT_TRUE(reaches(*backup, repository(), bytes_in(repository()) + 5'000'000));
  link.cut();
  expect_clear(backup->wait(), 1, "");
  link.slow_down(0);
  EXPECT_EQ(snapshots(), 0U);
  ok({"backup", "app", "--base", "--url", url});
  ledger.wait_for_commits(ledger.acknowledged_count() + 100);
  ledger.stop();
  wait_flushed(server);
  EXPECT_EQ(stream->terminate().exit_code, 0);
  const auto copy = restored();
  EXPECT_THAT(ledger.check_all(copy->conninfo()), IsEmpty());
}

}  // namespace
}  // namespace pgstrata::testing
