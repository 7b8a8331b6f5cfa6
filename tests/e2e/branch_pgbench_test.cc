// PostgreSQL's own benchmark on a branch: an hour's worth of a busy application's transactions, whose sums must agree
// whatever dies in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "support/thoroughness.h"

namespace pgstrata::testing {
namespace {

class BranchPgbenchTest : public BranchTest {
 protected:
  ProgramRun pgbench(const std::string& host, int port, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {source_.binaries().program("pgbench"), "-h", host, "-p",
                                         std::to_string(port), "-U", "postgres"});
    arguments.emplace_back("postgres");
    auto run = run_program(arguments, {}, {}, std::chrono::hours(2));
    EXPECT_EQ(run.exit_code, 0) << run.describe();
    return run;
  }
  void run_transactions(const TestedBranch& branch, int count) const {
    constexpr int clients = 4;
    const auto run = pgbench((branch.home() / "run").string(), branch.port(),
                             {"--no-vacuum", "--verbose-errors", "-c", std::to_string(clients), "-j", "2",
                              "-t", std::to_string(count / clients)});
    EXPECT_THAT(run.out, ::testing::HasSubstr(fmt::format("actually processed: {0}/{0}", count)));
    EXPECT_THAT(run.out, ::testing::HasSubstr("number of failed transactions: 0"));
    EXPECT_EQ(run.err.find("ERROR"), std::string::npos) << run.err;
  }
  // Each transaction adds the same to an account, its teller, its branch, and writes it down.
  static void expect_sums_agree(const TestedBranch& branch, int transactions) {
    EXPECT_EQ(branch.value("SELECT count(*) FROM pgbench_history"), std::to_string(transactions));
    const auto sums = branch.query(
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), "
        "(SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)");
    for (const auto& sum : sums.at(0)) EXPECT_EQ(sum, sums.at(0).at(0));
  }

  PostgresServer source_{{.settings = {"max_wal_size = 256MB"}}};
};

TEST_F(BranchPgbenchTest, ItsSumsAgree) {
  source_.start();
  protect(source_);
  pgbench(source_.socket_directory().string(), source_.port(), {"-i", "-q", "-s", "5"});
  backup();
  auto there = branch("busy");
  const int transactions = thorough() ? 180'000 : 2'000;
  run_transactions(there, transactions);
  expect_sums_agree(there, transactions);
  there.kill9_mount_process();
  there.kill9_postmaster();
  there = moved("start", "busy");
  expect_sums_agree(there, transactions);
  run_transactions(there, transactions);
  expect_sums_agree(there, 2 * transactions);
  EXPECT_THAT(amcheck_problems(there.place()), ::testing::IsEmpty());
  EXPECT_EQ(source_.query_value("SELECT count(*) FROM pgbench_history"), "0");
}

}  // namespace
}  // namespace pgstrata::testing
