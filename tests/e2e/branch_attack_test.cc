// Whoever is superuser in a branch, against commands that root may run on it.
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"

namespace pgstrata::testing {
namespace {

// What its superuser can do is done as the server's user, beside commands that root may run.
class BranchOfAnAttacker : public BranchedRowsTest {
 protected:
  void SetUp() override {
    BranchedRowsTest::SetUp();
    if (IsSkipped()) return;
    protect_rows(1);
    there_ = std::make_unique<TestedBranch>(branch("try"));
  }
  void run(const std::string& program) const {
    there_->query(fmt::format("COPY (SELECT) TO PROGRAM $pgs$cd .. ; {}$pgs$", program));
  }
  void expect_list_answers() const {
    BackgroundPgstrata list({"branch", "list", "app"}, environment());
    EXPECT_EQ(list.wait(std::chrono::seconds(20)).exit_code, 0);
  }

  std::unique_ptr<TestedBranch> there_;
};

TEST_F(BranchOfAnAttacker, DoesNotReplaceItsDataDirectory) {
  EXPECT_ANY_THROW(run("mv data real"));
  EXPECT_ANY_THROW(run("ln -s / link"));
  EXPECT_ANY_THROW(run("touch file"));
  EXPECT_EQ(there_->value(count), "1");
}

TEST_F(BranchOfAnAttacker, DoesNotLetACommandWaitForAFifo) {
  run(fmt::format("mkfifo {0} && cd data/global && ln -s {0} new && mv -T new pg_control",
                  path("fifo").string()));
  expect_list_answers();
  BackgroundPgstrata start({"branch", "start", "app", "try"}, environment());
  start.wait(std::chrono::seconds(60));
  EXPECT_EQ(run_branch("delete", {"try"}).exit_code, 0);
}

TEST_F(BranchOfAnAttacker, DoesNotAnswerForPostgres) {
  there_->query(
      "CREATE SCHEMA evil; CREATE VIEW evil.pg_database AS SELECT d.datname, d.datcollate, d.datctype, "
      "d.datallowconn, d.datcollversion, d.oid FROM pg_catalog.pg_database d, pg_sleep(1000000); "
      "CREATE FUNCTION evil.pg_get_userbyid(integer) RETURNS name LANGUAGE sql AS $$SELECT 'evil'::name$$; "
      "ALTER ROLE postgres SET search_path = evil, pg_catalog");
  run("mkdir ../run/folder");
  branch_json("stop", "try");
  BackgroundPgstrata start({"branch", "start", "app", "try"}, environment());
  const auto started = start.wait(std::chrono::seconds(60));
  EXPECT_EQ(started.exit_code, 0) << started.describe();
  EXPECT_EQ(started.out.find("evil"), std::string::npos) << started.out;
}

TEST_F(BranchOfAnAttacker, DoesNotHideItOrKeepIt) {
  // Deeper than a path can say, and than there are descriptors.
  run(fmt::format(
      "cd ../wal && python3 -c \"import os\nfor i in range(1500):\n os.mkdir('{0}'); os.chdir('{0}')\"",
      std::string(200, 'd')));
  EXPECT_EQ(state_of("try"), "running");
  EXPECT_EQ(moved("reset", "try").value(count), "1");
  branch_json("delete", "try");
}

}  // namespace
}  // namespace pgstrata::testing
