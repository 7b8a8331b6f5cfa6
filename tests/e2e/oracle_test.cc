// The differential oracle: what we restore to a moment is what stock PostgreSQL recovers to it from its own
// base backup and its own copy of the WAL.
#include <csignal>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "e2e/main_job_page_compare.h"
#include "support/random_workload.h"
#include "support/sql.h"
#include "support/test_seed.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;

namespace fs = std::filesystem;

// As it is told to pgstrata and to PostgreSQL.
struct Target {
  std::string flag;
  std::string value;
  std::string setting;
  std::string value_of_setting;
};

// What PostgreSQL's own manual calls a base backup by the low-level API, and an archive that archive_command
// fills: it needs no client programs, so it works on every major.
class OracleTest : public MainJobTest, public ::testing::WithParamInterface<int> {
 protected:
  OracleTest() {
    source_.configure(
        {"archive_mode = on",
         fmt::format("archive_command = 'test ! -f {0}/%f && cp %p {0}/%f'", archive_.string())});
  }

  // All WAL so far is in the archive.
  void finish_wal_archive() const {
    const std::string segment = source_.query_value("SELECT pg_walfile_name(pg_switch_wal())");
    wait_until("the archive's last segment", [&] {
      return source_.query_value(fmt::format(
                 "SELECT coalesce(last_archived_wal >= '{}', false) FROM pg_stat_archiver", segment)) == "t";
    });
  }

  // Both at the same time, while the workload goes on.
  void take_base_backups(RandomWorkload& workload) {
    BackgroundPgstrata ours({"backup", "app", "--base"}, environment());
    SqlConnection session(source_.conninfo());
    const bool old_names = GetParam() < 15;
    session.run(old_names ? "SELECT pg_start_backup('oracle', true, false)"
                          : "SELECT pg_backup_start('oracle', true)");
    ChildProcess copy(
        {.arguments = {"/bin/cp", "-a", source_.data_directory().string(), path("base").string()},
         .output = path("copy.log"),
         .errors = path("copy.log")});
    while (copy.running() || ours.running()) workload.run(1);
    // 1: files went away while they were copied, which recovery takes care of.
    if (copy.wait(std::chrono::seconds(1)) > 1)
      throw TestFailure("cp failed: " + read_text(path("copy.log")));
    const std::string label = session.value(old_names ? "SELECT labelfile FROM pg_stop_backup(false, false)"
                                                      : "SELECT labelfile FROM pg_backup_stop(false)");
    require_done(ours.wait());
    std::ofstream(path("base") / "backup_label") << label;
    for (const auto* left_out : {"postmaster.pid", "postmaster.opts"}) fs::remove(path("base") / left_out);
    for (const auto* emptied : {"pg_wal", "pg_replslot"}) {
      for (const auto& entry : fs::directory_iterator(path("base") / emptied)) {
        if (entry.path().filename() != "archive_status") fs::remove_all(entry.path());
      }
    }
  }

  // nextval() writes WAL for 32 values at once and again after each checkpoint. Either backup began with a
  // checkpoint of its own, so from here on WAL says where each sequence is, and to both the same.
  void log_every_sequence() const {
    source_.query(
        "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, "
        "coalesce(last_value, start_value), last_value IS NOT NULL) FROM pg_sequences");
  }

  static void require_done(const ProgramRun& run) {
    if (run.exit_code != 0) throw TestFailure(run.describe());
  }

  // Recovers and stops there. Every page it changed is on disk then: it has replayed a checkpoint record, so
  // that the restartpoint at its end is one, and made none before.
  static void recover(const fs::path& folder, std::vector<std::string> settings) {
    settings.insert(settings.end(), {"recovery_target_action=shutdown", "hot_standby=off",
                                     "checkpoint_timeout=1h", "max_wal_size=10GB"});
    PostgresServer server = PostgresServer::adopt(folder, std::move(settings));
    if (server.try_start()) throw TestFailure("recovery did not stop at the target");
    const std::string log = server.log_text();
    if (log.find("shutdown at recovery target") == std::string::npos)
      throw TestFailure("recovery ended for another reason: " + log);
  }

  void recover_theirs(const fs::path& folder, const Target& target) const {
    require_done(run_program({"/bin/cp", "-a", path("base").string(), folder.string()}));
    require_done(run_program({"/usr/bin/touch", (folder / "recovery.signal").string()}));
    recover(folder, their_settings(target));
  }
  [[nodiscard]] std::vector<std::string> their_settings(const Target& target) const {
    return {fmt::format("restore_command=cp {}/%f \"%p\"", archive_.string()), "archive_mode=off",
            "recovery_target_timeline=1", fmt::format("{}={}", target.setting, target.value_of_setting)};
  }

  // Both promoted where they stopped.
  static std::vector<std::string> content(const fs::path& folder, std::vector<std::string> settings) {
    settings.emplace_back("recovery_target_action=promote");
    PostgresServer server = PostgresServer::adopt(folder, std::move(settings));
    server.start();
    wait_until("the promotion", [&] { return server.query_value("SELECT pg_is_in_recovery()") == "f"; });
    return digest_of_all(
        fmt::format("host={} port={} user=postgres", server.socket_directory().string(), server.port()));
  }

  // Page by page; `and_content` promotes both, to compare what SQL sees too.
  void expect_equal(int number, const Target& target, bool and_content) {
    SCOPED_TRACE(fmt::format("{} {}", target.flag, target.value));
    const fs::path theirs = path(fmt::format("theirs{}", number));
    const std::string name = fmt::format("ours{}", number);
    recover_theirs(theirs, target);
    restore(name, {target.flag, target.value});
    recover(path(name), {});

    const PageComparison pages = compare_data_directories(path(name), theirs);
    EXPECT_EQ(pages.difference_count, 0U);
    EXPECT_THAT(pages.differences, IsEmpty());
    EXPECT_GT(pages.pages, 1500U);
    EXPECT_GT(pages.other_files, 5U);
    if (and_content) {
      EXPECT_EQ(content(path(name), {}), content(theirs, their_settings(target)));
    }
  }

  PostgresServer source_{
      {.major = GetParam(), .settings = {"max_wal_size = 10GB", "checkpoint_timeout = 1h"}}};

 private:
  fs::path archive_ = directory().make("archive");
};

TEST_P(OracleTest, ARestoreIsWhatStockPostgresRecovers) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  source_.start();
  protect(source_);
  start_stream(source_);
  RandomWorkload workload(source_.conninfo(), seed);
  workload.run(30);
  take_base_backups(workload);
  source_.query("CHECKPOINT");
  log_every_sequence();

  const auto position = [&] {
    return parse_lsn(source_.query_value("SELECT pg_current_wal_insert_lsn()")).value();
  };
  const Lsn first = position();
  std::vector<std::string> times;
  for (int i = 0; i < 8; ++i) {
    workload.run(8);
    times.push_back(server_time(source_));
  }
  const Lsn last = position();
  workload.run(5);
  wait_until_durable(source_);
  finish_wal_archive();
  stop_stream();
  source_.stop();

  std::vector<Target> targets;
  for (int i = 0; i < 2; ++i) {
    const Lsn target = first + random() % (last - first);
    targets.push_back({"--lsn", to_string(target), "recovery_target_lsn", to_string(target)});
  }
  const std::string time = times[random() % times.size()];
  targets.push_back({"--at", time, "recovery_target_time", time.substr(0, time.size() - 1) + "+00"});
  const auto content_of = static_cast<int>(random() % targets.size());
  int number = 0;
  for (const Target& target : targets) {
    expect_equal(number, target, number == content_of);
    ++number;
  }
}

// That the comparison can tell a difference at all.
TEST_P(OracleTest, TheComparisonSeesOneByteOfARow) {
  source_.start();
  source_.query("CREATE TABLE t AS SELECT i, md5(i::text) AS label FROM generate_series(1, 2000) i");
  source_.query("CREATE INDEX ON t (label)");
  const std::string table = source_.query_value("SELECT pg_relation_filepath('t')");
  const std::string index = source_.query_value("SELECT pg_relation_filepath('t_label_idx')");
  source_.stop();
  require_done(run_program({"/bin/cp", "-a", source_.data_directory().string(), path("copy").string()}));
  EXPECT_EQ(compare_data_directories(path("copy"), source_.data_directory()).difference_count, 0U);
  for (const std::string& file : {table, index}) {
    std::fstream relation(path("copy") / file, std::ios::in | std::ios::out | std::ios::binary);
    relation.seekp(2 * 8192 - 40);
    relation.put('\x7E');
  }
  const PageComparison changed = compare_data_directories(path("copy"), source_.data_directory());
  EXPECT_EQ(changed.difference_count, 2U) << fmt::format("{}", fmt::join(changed.differences, "\n"));
}

INSTANTIATE_TEST_SUITE_P(Majors, OracleTest, ::testing::ValuesIn(supported_majors()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

}  // namespace
}  // namespace pgstrata::testing
