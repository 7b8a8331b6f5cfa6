// The differential oracle for rolled snapshots: what is restored or branched from the last of a chain of them is
// what stock PostgreSQL recovers from one base backup and all the WAL since.
#include <random>

#include "e2e/main_job_page_compare.h"
#include "e2e/page_checksums.h"
#include "e2e/roll_test.h"
#include "e2e/stock_recovery.h"
#include "support/random_workload.h"
#include "support/test_seed.h"
#include "support/thoroughness.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;

namespace fs = std::filesystem;

int rolls_in_the_chain() {
  return thorough() ? 200 : 4;
}

class RollOracleTest : public RollTest, public ::testing::WithParamInterface<int> {
 protected:
  void begin() {
    SCOPED_TRACE(fmt::format("seed {}", seed_));
    source_.start();
    protect(source_);
    start_stream(source_);
    workload_ = std::make_unique<RandomWorkload>(source_.conninfo(), seed_);
    workload_->run(20);
    BackgroundPgstrata ours({"backup", "app", "--base"}, environment());
    stock_.take_base_backup([&] { workload_->run(1); }, [&] { return !ours.running(); });
    ASSERT_EQ(ours.wait().exit_code, 0);
    source_.query("CHECKPOINT");
    log_every_sequence(source_);
  }
  [[nodiscard]] Lsn position() const {
    return parse_lsn(source_.query_value("SELECT pg_current_wal_insert_lsn()")).value();
  }
  [[nodiscard]] Lsn random_between(Lsn first, Lsn last) { return first + random_() % (last - first); }

  // All there is, and then the source is gone.
  void end() {
    wait_until_durable(source_);
    stock_.finish_archive();
    stop_stream();
    source_.stop();
  }

  void expect_same_pages(const fs::path& ours, const fs::path& theirs) const {
    const PageComparison pages = compare_data_directories(ours, theirs);
    EXPECT_EQ(pages.difference_count, 0U);
    EXPECT_THAT(pages.differences, IsEmpty());
    EXPECT_GT(pages.pages, 1500U);
    EXPECT_GT(pages.other_files, 5U);
  }

  // A checkpoint lies between the newest snapshot and the target.
  void expect_restore_is_stock_recovery(const StockTarget& target) {
    SCOPED_TRACE("restored to " + target.value);
    stock_.recover(path("theirs"), target);
    const Json restored = restore("ours", {target.flag, target.value});
    EXPECT_EQ(restored.at("plan").at("snapshot"), snapshots().back().at("id"));
    recover_and_stop(path("ours"), {});
    expect_same_pages(path("ours"), path("theirs"));
    EXPECT_THAT(check_page_checksums(path("ours")).wrong, IsEmpty());
    expect_same_pages_on_a_branch(target, path("theirs"));
    EXPECT_EQ(promoted_content(path("ours"), {"autovacuum=off"}),
              promoted_content(path("theirs"), stock_.settings(target)));
    PostgresServer server = PostgresServer::adopt(path("ours"));
    server.start();
    EXPECT_THAT(amcheck_problems(server_place(server)), IsEmpty());
  }

  // Where it is, with all of its pages in its files: in recovery, a reader changes none. A checkpoint lies between the
  // newest snapshot and the target.
  void expect_same_pages_on_a_branch(const StockTarget& target, const fs::path& theirs) {
    const Json branch =
        json_of({"branch", "create", "app", "pages", target.flag, target.value, "--read-only"});
    SqlConnection reader(with_database(place_of("pages", branch), "postgres"));
    // It is open for reads before it is there; the record at the target is the last.
    wait_until("the branch's moment", [&] {
      return reader.value("SELECT pg_last_wal_replay_lsn() > $1::pg_lsn", {target.value}) == "t";
    });
    reader.run("CHECKPOINT");
    expect_same_pages(home_of("pages") / "fs" / "data", theirs);
    json_of({"branch", "delete", "app", "pages"});
  }

  void expect_branch_is_stock_recovery(const StockTarget& target) {
    SCOPED_TRACE("a branch at " + target.value);
    const auto theirs = path("theirs_at_branch");
    stock_.recover(theirs, target);
    const Json branch = json_of({"branch", "create", "app", "look", target.flag, target.value});
    EXPECT_EQ(digest_of_all(place_of("look", branch)), promoted_content(theirs, stock_.settings(target)));
    EXPECT_THAT(amcheck_problems(place_of("look", branch)), IsEmpty());
    json_of({"branch", "delete", "app", "look"});
  }
  [[nodiscard]] fs::path home_of(const std::string& name) const {
    return path("state") / "branches" / "app" / name;
  }
  [[nodiscard]] std::string place_of(const std::string& name, const Json& branch) const {
    return fmt::format("host={} port={} user=postgres", (home_of(name) / "run").string(),
                       branch.at("port").get<int>());
  }

  [[nodiscard]] std::size_t connections_of_the_source() const {
    const std::string log = source_.log_text();
    std::size_t count = 0;
    for (auto at = log.find("connection received"); at != std::string::npos;
         at = log.find("connection received", at + 1))
      ++count;
    return count;
  }

  const std::uint64_t seed_ = test_seed();
  std::mt19937_64 random_{seed_};
  PostgresServer source_{{.major = GetParam(),
                          .settings = {"max_wal_size = 10GB", "checkpoint_timeout = 1h",
                                       "log_connections = on", "autovacuum = off"}}};
  StockRecovery stock_{source_, directory()};
  std::unique_ptr<RandomWorkload> workload_;
};

TEST_P(RollOracleTest, RestoresAndBranchesAreWhatStockPostgresRecovers) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  ASSERT_NO_FATAL_FAILURE(begin());
  Lsn first;
  for (int round = 0; round < 2; ++round) {
    workload_->run(8);
    checkpoint(source_);
    first = position();
    roll();
  }
  workload_->run(8);
  const auto before = connections_of_the_source();
  roll({"--checkpoint", "--url", source_.url()});
  EXPECT_EQ(connections_of_the_source(), before + 1) << "for the checkpoint, and for nothing else";
  workload_->run(4);
  source_.query("CHECKPOINT");
  workload_->run(3);
  const Lsn last = position();
  workload_->run(2);
  end();
  ASSERT_EQ(snapshots().size(), 4U);
  expect_restore_is_stock_recovery(stock_target_lsn(to_string(last)));
  expect_branch_is_stock_recovery(stock_target_lsn(to_string(random_between(first, last))));
  // From the WAL there is, without any source.
  EXPECT_EQ(roll().at("recovery").at("server_version").get<int>() / 10000, GetParam());
  json_of({"verify", "--read-all"});
  expect_no_leftovers();
}

INSTANTIATE_TEST_SUITE_P(Majors, RollOracleTest, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

class RollChainTest : public RollOracleTest {};

TEST_P(RollChainTest, OfManyRollsIsOneLongRecovery) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  ASSERT_NO_FATAL_FAILURE(begin());
  const int rolls = rolls_in_the_chain();
  for (int round = 0; round < rolls; ++round) {
    workload_->run(3);
    checkpoint(source_);
    const auto before = connections_of_the_source();
    roll();
    EXPECT_EQ(connections_of_the_source(), before);
  }
  source_.query("CHECKPOINT");
  workload_->run(2);
  const Lsn last = position();
  end();
  ASSERT_EQ(snapshots().size(), static_cast<std::size_t>(rolls) + 1);
  expect_restore_is_stock_recovery(stock_target_lsn(to_string(last)));
  json_of({"verify", "--read-all"});
}

INSTANTIATE_TEST_SUITE_P(OneMajor, RollChainTest, ::testing::Values(15),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

}  // namespace
}  // namespace pgstrata::testing
