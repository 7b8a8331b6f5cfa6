// The main job on every major: protect, work, damage, and have the moment before it back.
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "e2e/page_checksums.h"
#include "support/commit_ledger.h"
#include "support/random_workload.h"
#include "support/test_seed.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Timestamp parsed(const std::string& text) {
  return parse_rfc3339(text).value();
}

class EveryMajor : public MainJobTest, public ::testing::WithParamInterface<int> {};

// pg_checksums refuses a control file of another layout than its own; 13 to 16 share Debian 15's.
constexpr int last_major_of_debians_pg_checksums = 16;

void expect_checksums_hold(const std::filesystem::path& data_directory, int major) {
  const PageChecksums checked = check_page_checksums(data_directory);
  EXPECT_THAT(checked.wrong, IsEmpty());
  EXPECT_GT(checked.pages, 500U);
  if (major > last_major_of_debians_pg_checksums) return;
  const auto debian = PostgresBinaries::find(15);
  const ProgramRun run =
      run_program({debian.program("pg_checksums"), "--check", "-D", data_directory.string()});
  EXPECT_EQ(run.exit_code, 0) << run.describe();
}

void expect_client_tools_pass(const LeftRunningServer& server) {
  const auto debian = PostgresBinaries::find(15);
  const ProgramRun run =
      run_program({debian.program("pg_amcheck"), "-h", server.host(), "-p", std::to_string(server.port()),
                   "-U", "postgres", "--all", "--heapallindexed", "--install-missing"});
  EXPECT_EQ(run.exit_code, 0) << run.describe();
}

TEST_P(EveryMajor, TheMomentBeforeTheDamageComesBack) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  PostgresServer source({.major = GetParam()});
  source.start();
  protect(source);
  start_stream(source);

  CommitLedger ledger({.conninfo = source.conninfo(), .clients = 3, .seed = seed});
  RandomWorkload workload(source.conninfo(), seed);
  ledger.start();
  workload.run(15);
  const Json snapshot = backup();
  EXPECT_EQ(snapshot.at("bad_page_count"), 0);
  workload.run(25);

  const std::string place =
      fmt::format("host={} port={} user=postgres", source.socket_directory().string(), source.port());
  const std::vector<std::string> before = digest_of_all(place);
  const std::string moment = server_time(source);
  ledger.wait_for_commits(ledger.acknowledged_count() + 50);
  // The workload drops tables of its own: whichever is left.
  const auto victim =
      source.query_value("SELECT min(tablename) FROM pg_tables WHERE tablename LIKE 'work\\_%'");
  source.query(fmt::format("DROP TABLE {} CASCADE", victim));
  source.query("DELETE FROM commit_ledger");
  ledger.wait_for_commits(ledger.acknowledged_count() + 50);
  ledger.stop();
  wait_until_durable(source);

  const auto restored = restore_and_start("restored", {"--at", moment});
  EXPECT_THAT(ledger.check_time(restored->conninfo(), parsed(moment)), IsEmpty());
  EXPECT_THAT(ledger.check_acknowledged_by(restored->conninfo(), parsed(moment)), IsEmpty());
  EXPECT_EQ(digest_of_all(server_place(*restored)), before);
  EXPECT_THAT(amcheck_problems(server_place(*restored)), IsEmpty());
  restored->query("CREATE TABLE writable AS SELECT 1 AS one");
  if (GetParam() == 15) expect_client_tools_pass(*restored);
  restored->stop();
  expect_checksums_hold(path("restored"), GetParam());
  stop_stream();
  EXPECT_EQ(json_of({"verify"}).at("sound"), true);
}

INSTANTIATE_TEST_SUITE_P(Majors, EveryMajor, ::testing::ValuesIn(sample_majors()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

TEST(Majors, AllSupportedOnesAreHere) {
  EXPECT_EQ(available_majors(), supported_majors());
}

// A cluster that failed over, or was restored, before anybody protected it: PostgreSQL asks for its history.
TEST_F(MainJobTest, AClusterThatWasPromotedBeforeItWasAddedComesBack) {
  PostgresServer source;
  source.start();
  source.restart_promoted();
  protect(source);
  source.query("CREATE TABLE t AS SELECT 1 AS n");
  EXPECT_EQ(backup().at("timeline"), 2);
  start_stream(source);
  source.query("UPDATE t SET n = 2");
  const std::string moment = server_time(source);
  source.query("UPDATE t SET n = 3");
  wait_until_durable(source);
  stop_stream();
  EXPECT_EQ(restore_and_start("latest", {"--latest"})->query_value("SELECT n FROM t"), "3");
  EXPECT_EQ(restore_and_start("moment", {"--at", moment})->query_value("SELECT n FROM t"), "2");
  EXPECT_EQ(json_of({"verify"}).at("sound"), true);
}

// -n: its WAL comes from the repository, not from pg_wal.
ProgramRun verify_backup(const PostgresServer& source, const std::filesystem::path& directory) {
  return run_program({source.binaries().program("pg_verifybackup"), "-n", directory.string()});
}

// Before its first start: what PostgreSQL's own tool says about the files as they were written.
TEST_F(MainJobTest, ARestoredDirectoryPassesPgVerifybackup) {
  PostgresServer source;
  source.start();
  protect(source);
  RandomWorkload(source.conninfo(), 7).run(20);
  backup();
  restore("restored", {"--latest"});
  const ProgramRun run = verify_backup(source, path("restored"));
  EXPECT_EQ(run.exit_code, 0) << run.describe();

  std::filesystem::resize_file(path("restored") / "base/1/1259", 8192);
  const ProgramRun damaged = verify_backup(source, path("restored"));
  EXPECT_EQ(damaged.exit_code, 1) << "pg_verifybackup finds nothing anyway: " << damaged.describe();
}

// Tablespaces too, and after `--delta` over a copy that went its own way.
TEST_F(MainJobTest, TablespacesAndDeltaPassPgVerifybackupAndPgChecksums) {
  PostgresServer source;
  source.start();
  const auto space = directory().make("space");
  source.query(fmt::format("CREATE TABLESPACE space LOCATION '{}'", space.string()));
  source.query("CREATE TABLE in_space TABLESPACE space AS SELECT i FROM generate_series(1, 50000) i");
  source.query("CREATE TABLE t AS SELECT i FROM generate_series(1, 50000) i");
  protect(source);
  backup();
  const std::vector<std::string> target{"--latest", "--tablespace",
                                        space.string() + "=" + path("new").string()};
  restore("restored", target);
  const ProgramRun restored = verify_backup(source, path("restored"));
  EXPECT_EQ(restored.exit_code, 0) << restored.describe();

  std::filesystem::remove_all(path("restored"));
  std::filesystem::remove_all(path("new"));
  std::string file;
  {
    const auto copy = restore_and_start("restored", target);
    file = copy->query_value("SELECT pg_relation_filepath('in_space')");
    copy->query("UPDATE in_space SET i = -i WHERE i % 3 = 0; DELETE FROM t WHERE i > 100");
    copy->query("VACUUM t");
    copy->query("CREATE TABLE stray TABLESPACE space AS SELECT 1 AS n");
    copy->stop();
    expect_checksums_hold(path("restored"), 15);
  }
  const ProgramRun diverged = verify_backup(source, path("restored"));
  EXPECT_EQ(diverged.exit_code, 1) << diverged.describe();
  auto delta = target;
  delta.emplace_back("--delta");
  restore("restored", delta);
  const ProgramRun again = verify_backup(source, path("restored"));
  EXPECT_EQ(again.exit_code, 0) << again.describe();

  // Our own check of checksums finds what pg_checksums does.
  std::fstream(path("restored") / file, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(8192 + 4000)
      .write("rot", 3);
  EXPECT_THAT(check_page_checksums(path("restored")).wrong, ElementsAre(file + " block 1"));
}

}  // namespace
}  // namespace pgstrata::testing
