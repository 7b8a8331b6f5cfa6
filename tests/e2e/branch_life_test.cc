// What a branch is promised to survive, and where it is taken.
#include <fstream>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "e2e/branch_fixture.h"
#include "support/wait_until.h"
#include "sys/process.h"

namespace pgstrata::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BranchLifeTest : public BranchedRowsTest {};

TEST_F(BranchLifeTest, EveryAcknowledgedCommitSurvivesEachDeath) {
  protect_rows();
  using Death = void (*)(const TestedBranch&);
  const std::vector<std::pair<std::string, Death>> deaths{
      {"postmaster", [](const TestedBranch& branch) { branch.kill9_postmaster(); }},
      {"mount", [](const TestedBranch& branch) { branch.kill9_mount_process(); }},
      {"both",
       [](const TestedBranch& branch) {
         branch.kill9_postmaster();
         branch.kill9_mount_process();
       }},
      {"reboot",
       [](const TestedBranch& branch) {
         branch.kill9_mount_process();
         branch.kill9_postmaster();
         branch.detach_mount();
       }},
      {"unmounted", [](const TestedBranch& branch) { branch.detach_mount(); }},
  };
  auto there = branch("try");
  for (const auto& [name, die] : deaths) {
    SCOPED_TRACE(name);
    there.query("DROP TABLE IF EXISTS commit_ledger");
    CommitLedger ledger({.conninfo = there.conninfo(), .clients = 3});
    ledger.start();
    ledger.wait_for_commits(150);
    die(there);
    ledger.stop(std::chrono::seconds(1));
    EXPECT_EQ(state_of("try"), "broken");
    there = moved("start", "try");
    EXPECT_EQ(state_of("try"), "running");
    EXPECT_THAT(ledger.check_all(there.conninfo()), IsEmpty());
    EXPECT_EQ(there.value(count), "1000");
  }
  EXPECT_THAT(amcheck_problems(there.place()), IsEmpty());
}

// It could go on writing WAL that the next server has read already.
TEST_F(BranchLifeTest, StartEndsWhatIsLeftInFilesThatWereDetached) {
  protect_rows();
  const auto there = branch("try");
  SqlConnection left(there.conninfo());
  const auto process = static_cast<pid_t>(std::stol(left.value("SELECT pg_backend_pid()")));
  there.detach_mount();
  ASSERT_EQ(::kill(process, SIGSTOP), 0);
  there.kill9_postmaster();
  EXPECT_EQ(moved("start", "try").value(count), "1000");
  std::error_code ended;  // or waiting to be reaped, without a program
  EXPECT_EQ(std::filesystem::read_symlink(fmt::format("/proc/{}/exe", process), ended), "") << process;
}

// In a mount that is detached, what leads out of it leads into it: to another place for the WAL.
TEST_F(BranchLifeTest, NothingIsAcknowledgedInFilesThatWereDetached) {
  protect_rows();
  auto there = branch("try");
  there.query("CREATE TABLE late(n int)");
  there.detach_mount();
  bool acknowledged = true;
  try {
    there.query("INSERT INTO late VALUES (1)");  // by a new session, which opens the WAL anew
  } catch (const std::exception&) {
    acknowledged = false;
  }
  there = moved("start", "try");
  EXPECT_EQ(there.value("SELECT count(*) FROM late"), acknowledged ? "1" : "0");
}

TEST_F(BranchLifeTest, ResetTakesItBackToItsMomentOrAnother) {
  protect_rows();
  const auto first = add_rows(10);
  const auto second = add_rows(100);
  const auto before = repository_digest();
  auto there = branch("try", {"--lsn", first, "--expires", "7d", "--set", "work_mem=7MB"});
  const auto other = branch("other", {"--lsn", first});
  EXPECT_EQ(there.value(count), "1010");
  there.query("TRUNCATE t");
  there.query("CREATE DATABASE gone");
  const auto port = there.port();
  const auto expires = there.created().at("expires");

  // What a server that was killed leaves beside its socket, naming a process that lives.
  there.kill9_postmaster();
  std::ofstream(there.home() / "run" / fmt::format(".s.PGSQL.{}.lock", port))
      << other.mount_process() << '\n';
  there = moved("reset", "try");
  EXPECT_EQ(there.value(count), "1010");
  EXPECT_EQ(there.value("SELECT count(*) FROM pg_database WHERE datname = 'gone'"), "0");
  EXPECT_EQ(there.port(), port);
  EXPECT_EQ(there.created().at("expires"), expires);
  EXPECT_EQ(there.value("SHOW work_mem"), "7MB");
  there.query("TRUNCATE t");
  there = moved("reset", "try", {"--lsn", second});
  EXPECT_EQ(there.value(count), "1110");
  there = moved("reset", "try");
  EXPECT_EQ(there.value(count), "1110");

  // Cut short: it is what start makes of it.
  there.query("TRUNCATE t");
  BackgroundPgstrata cut({"branch", "reset", "app", "try", "--lsn", first}, environment());
  wait_until("the reset to begin", [&] { return state_of("try") != "running"; });
  cut.kill9();
  there = moved("start", "try");
  EXPECT_THAT(there.value(count), ::testing::AnyOf("1010", "0"));
  if (state_of("try") == "running" && there.value(count) == "0") there = moved("reset", "try");
  there.query("INSERT INTO t VALUES (0)");

  const auto refused = run_branch("reset", {"try", "--at", "2001-01-01 00:00:00Z"});
  EXPECT_EQ(refused.exit_code, 4) << refused.describe();
  EXPECT_EQ(state_of("try"), "running");
  EXPECT_EQ(other.value(count), "1010");
  EXPECT_EQ(repository_digest(), before);
}

TEST_F(BranchLifeTest, AReadOnlyBranchStaysAtItsMomentAndAdvances) {
  protect_rows();
  const auto first = add_rows(10);
  auto there = branch("look", {"--read-only", "--lsn", first});
  const auto expect_at = [&](const std::string& rows) {
    EXPECT_EQ(there.value(count), rows);
    EXPECT_EQ(there.value("SELECT pg_is_in_recovery()"), "t");
    EXPECT_THROW(there.query("INSERT INTO t VALUES (0)"), SqlError);
  };
  expect_at("1010");
  const auto second = add_rows(100);
  branch_json("stop", "look");
  there = moved("start", "look");
  expect_at("1010");

  there = moved("advance", "look", {"--lsn", second});
  expect_at("1110");
  const auto third = add_rows(1000);
  const std::string moment = server_time(source_);
  source_.query("SELECT pg_switch_wal()");
  const auto fourth = add_rows(10'000);
  there.kill9_mount_process();
  EXPECT_EQ(state_of("look"), "broken");
  there = moved("advance", "look", {"--to", moment});
  expect_at("2110");
  for (int segment = 0; segment < 3; ++segment) {
    source_.query("SELECT pg_switch_wal()");
    add_rows(1);
  }
  backup();
  there = moved("advance", "look", {"--latest"});
  expect_at("12113");
  branch_json("stop", "look");
  there = moved("start", "look");
  expect_at("12113");
  EXPECT_THAT(amcheck_problems(branch("write").place()), IsEmpty());

  const auto back = run_branch("advance", {"look", "--lsn", third});
  EXPECT_EQ(back.exit_code, 2) << back.describe();
  EXPECT_THAT(back.err, HasSubstr("branch reset"));
  const auto nowhere = run_branch("advance", {"look"});
  EXPECT_EQ(nowhere.exit_code, 2) << nowhere.describe();
  const auto writable = run_branch("advance", {"write", "--latest"});
  EXPECT_EQ(writable.exit_code, 2) << writable.describe();
  there = moved("reset", "look", {"--lsn", first});
  expect_at("1010");
  there = moved("advance", "look", {"--lsn", fourth});
  expect_at("12110");
}

TEST_F(BranchLifeTest, AnAdvanceThatWasCutShortIsFinishedByStart) {
  protect_rows();
  const auto there = branch("look", {"--read-only", "--lsn", add_rows(10)});
  const auto record_file = home_of("look") / "branch.json";
  const auto before = Json::parse(std::ifstream(record_file));
  moved("advance", "look", {"--lsn", add_rows(100)});
  branch_json("stop", "look");
  // As one that was killed while it wrote the WAL: it is noted, and only begun.
  auto record = Json::parse(std::ifstream(record_file));
  record["wal_settled_to"] = before.at("wal_settled_to");
  std::ofstream(record_file) << record;
  std::filesystem::path last;
  for (const auto& file : std::filesystem::directory_iterator(home_of("look") / "wal"))
    if (file.is_regular_file() && file.path() > last) last = file.path();
  ASSERT_FALSE(last.empty());
  std::filesystem::rename(last, last.native() + ".new");
  std::filesystem::resize_file(last.native() + ".new", 100);
  EXPECT_EQ(moved("start", "look").value(count), "1110");
}

TEST_F(BranchLifeTest, StartWaitsForAServerThatIsJustStopping) {
  protect_rows();
  const auto there = branch("try");
  std::optional<SqlConnection> session(there.conninfo());
  ASSERT_EQ(::kill(there.postmaster(), SIGTERM), 0);  // it waits for its sessions
  wait_until("the server lets nobody in", [&] {
    try {
      const SqlConnection another(there.conninfo());
      return false;
    } catch (const SqlError&) {
      return true;
    }
  });
  EXPECT_EQ(state_of("try"), "running");
  auto start = std::async(std::launch::async, [&] { return moved("start", "try"); });
  session.reset();
  EXPECT_EQ(start.get().value(count), "1000");
}

TEST_F(BranchLifeTest, OfManyCreatesOfOneNameOneWins) {
  protect_rows();
  std::vector<std::future<ProgramRun>> creates;
  for (int i = 0; i < 4; ++i)
    creates.push_back(std::async(std::launch::async, [&] { return run_branch("create", {"try"}); }));
  int made = 0;
  for (auto& create : creates) {
    const auto run = create.get();
    if (run.exit_code == 0) {
      ++made;
      continue;
    }
    EXPECT_THAT(run.err, AnyOf(HasSubstr("there is a branch"), HasSubstr("another command is at work")));
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(moved("start", "try").value(count), "1000");
}

// As between a mount process's closing of the connection and its end.
TEST_F(BranchLifeTest, StartComesOverFilesThatNobodyServesAnyMore) {
  protect_rows(1);
  const auto there = branch("try");
  // "36 35 0:98 / MOUNT-POINT ...": the second number of the third field is the connection's.
  const auto mounts = read_text("/proc/self/mountinfo");
  const auto line = mounts.rfind('\n', mounts.find((there.home() / "fs").string()));
  const auto number = mounts.substr(mounts.find(':', line) + 1);
  const auto control = directory().make("control");
  if (::mount("fusectl", control.c_str(), "fusectl", 0, nullptr) != 0)
    GTEST_SKIP() << "SKIPPED: this user may not mount fusectl; run as root";
  ASSERT_EQ(::kill(there.mount_process(), SIGSTOP), 0);
  std::ofstream(control / number.substr(0, number.find(' ')) / "abort") << "1";
  ASSERT_EQ(::umount(control.c_str()), 0);
  EXPECT_THAT(listed().at(0).at("trouble").get<std::string>(), HasSubstr("its server ended"));
  EXPECT_EQ(moved("start", "try").value(count), "1");
}

TEST_F(BranchLifeTest, WhatAnInterruptedCommandLeftIsNoBranch) {
  protect_rows();
  branch("try");
  run_branch("stop", {"try"});
  // As a delete or a create that was killed leaves it.
  std::filesystem::remove(home_of("try") / "branch.json");
  EXPECT_EQ(state_of("try"), "none");
  EXPECT_EQ(branch("try").value(count), "1000");
}

}  // namespace
}  // namespace pgstrata::testing
