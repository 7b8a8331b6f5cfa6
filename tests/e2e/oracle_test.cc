// The differential oracle: what we restore to a moment is what stock PostgreSQL recovers to it from its own
// base backup and its own copy of the WAL.
#include <csignal>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "e2e/main_job_page_compare.h"
#include "e2e/stock_recovery.h"
#include "support/random_workload.h"
#include "support/sql.h"
#include "support/test_seed.h"
#include "support/thoroughness.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;

namespace fs = std::filesystem;

class OracleTest : public MainJobTest, public ::testing::WithParamInterface<int> {
 protected:
  // Both at the same time, while the workload goes on.
  void take_base_backups(RandomWorkload& workload) {
    BackgroundPgstrata ours({"backup", "app", "--base"}, environment());
    stock_.take_base_backup([&] { workload.run(1); }, [&] { return !ours.running(); });
    require_done(ours.wait());
  }

  static void require_done(const ProgramRun& run) {
    if (run.exit_code != 0) throw TestFailure(run.describe());
  }

  // Page by page; `and_content` promotes both, to compare what SQL sees too.
  void expect_equal(int number, const StockTarget& target, bool and_content) {
    SCOPED_TRACE(fmt::format("{} {}", target.flag, target.value));
    const fs::path theirs = path(fmt::format("theirs{}", number));
    const std::string name = fmt::format("ours{}", number);
    stock_.recover(theirs, target);
    restore(name, {target.flag, target.value});
    recover_and_stop(path(name), {});

    const PageComparison pages = compare_data_directories(path(name), theirs);
    EXPECT_EQ(pages.difference_count, 0U);
    EXPECT_THAT(pages.differences, IsEmpty());
    EXPECT_GT(pages.pages, 1500U);
    EXPECT_GT(pages.other_files, 5U);
    if (and_content) {
      EXPECT_EQ(promoted_content(path(name), {}), promoted_content(theirs, stock_.settings(target)));
    }
  }

  PostgresServer source_{
      {.major = GetParam(), .settings = {"max_wal_size = 10GB", "checkpoint_timeout = 1h"}}};
  StockRecovery stock_{source_, directory()};
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
  log_every_sequence(source_);

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
  stock_.finish_archive();
  stop_stream();
  source_.stop();

  std::vector<StockTarget> targets;
  for (int i = 0; i < (thorough() ? 2 : 1); ++i) {
    targets.push_back(stock_target_lsn(to_string(first + random() % (last - first))));
  }
  targets.push_back(stock_target_time(times[random() % times.size()]));
  const auto content_of = static_cast<int>(random() % targets.size());
  int number = 0;
  for (const StockTarget& target : targets) {
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

INSTANTIATE_TEST_SUITE_P(Majors, OracleTest, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

}  // namespace
}  // namespace pgstrata::testing
