// What a branch is promised to survive, and the commands on it.
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

class BranchLifeTest : public BranchTest {
 protected:
  void protect_rows(int rows = 1000) {
    source_.start();
    protect(source_);
    source_.query(fmt::format("CREATE TABLE t AS SELECT n FROM generate_series(1, {}) n", rows));
    backup();
  }
  // More rows, and how far the WAL is then.
  std::string add_rows(int rows) {
    source_.query(fmt::format("INSERT INTO t SELECT n FROM generate_series(1, {}) n", rows));
    return wait_until_durable(source_);
  }

  PostgresServer source_;
};

const std::string count = "SELECT count(*) FROM t";

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

TEST_F(BranchLifeTest, PsqlStaysInTheBranchWhateverItIsTold) {
  protect_rows(1);
  branch("try");
  const auto run = run_branch("psql", {"try", "--", "-X", "-U", "postgres", "-d", "template1", "-Atc",
                                       "SELECT current_database() || current_setting('data_directory')"});
  EXPECT_EQ(run.exit_code, 0) << run.describe();
  EXPECT_EQ(run.out, "template1" + (home_of("try") / "fs/data").native() + "\n");
}

TEST_F(BranchLifeTest, NothingIsPutWhereItWouldGoWithABranch) {
  protect_rows(1);
  branch("try");
  const auto folder = home_of("try").parent_path();
  for (const auto& to :
       {folder / "try/data", folder / "try/fs/data", folder / "free", folder / "free/data"}) {
    const auto run = run_branch("promote", {"try", "--to", to});
    EXPECT_EQ(run.exit_code, 2) << run.describe();
    EXPECT_THAT(run.err, HasSubstr("folder of branches")) << to;
  }
  EXPECT_EQ(moved("start", "try").value(count), "1");
}

TEST_F(BranchLifeTest, ItsPortMayBeChosen) {
  protect_rows(1);
  const auto free = static_cast<int>(branch("one").port());
  branch_json("delete", "one");
  const auto there = branch("try", {"--set", fmt::format("port={}", free)});
  EXPECT_EQ(there.value("SHOW port"), std::to_string(free));
  for (const auto& setting :
       {fmt::format("port={}", free), std::string("port=x"), std::string("unix_socket_directories=/tmp")}) {
    const auto refused = run_branch("create", {"two", "--set", setting});
    EXPECT_EQ(refused.exit_code, 2) << refused.describe();
  }
}

TEST_F(BranchLifeTest, ExpiredOnesGo) {
  protect_rows(1);
  branch("stays", {"--expires", "7d"});
  branch("goes", {"--expires", "1s"});
  ProgramRun run;
  wait_until("the branch to expire", [&] {
    run = run_branch("start", {"goes"});
    return run.err.find("expired at") != std::string::npos;
  });
  EXPECT_EQ(run.exit_code, 0) << "whoever names it wants it still: " << run.describe();
  run = run_branch("list", {});
  EXPECT_EQ(run.out.find("goes"), std::string::npos);
  EXPECT_THAT(run.err, HasSubstr("branch \"goes\" of app expired"));
  EXPECT_FALSE(std::filesystem::exists(home_of("goes")));
  EXPECT_EQ(state_of("stays"), "running");
  EXPECT_EQ(run_branch("url", {"goes"}).exit_code, 3);
  const auto before = listed().at(0).at("expires").get<std::string>();
  EXPECT_GT(branch_json("set-expiration", "stays", {"--expires", "30d"}).at("expires"), before);
  EXPECT_TRUE(branch_json("set-expiration", "stays").at("expires").is_null());
}

TEST_F(BranchLifeTest, ABrokenOneSaysWhatItLacks) {
  protect_rows(1);
  const auto there = branch("try");
  EXPECT_TRUE(listed().at(0).at("trouble").is_null());
  there.kill9_postmaster();
  EXPECT_THAT(run_branch("list", {}).out, HasSubstr("try is broken: its server ended"));
  there.kill9_mount_process();
  EXPECT_THAT(listed().at(0).at("trouble").get<std::string>(), HasSubstr("its file system is not there"));
  EXPECT_EQ(moved("start", "try").value(count), "1");
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

TEST_F(BranchLifeTest, StopSaysWhoStandsInItsFiles) {
  protect_rows(1);
  const auto there = branch("try");
  {
    const ChildProcess standing(
        {.arguments = {"/bin/sh", "-c", fmt::format("cd '{}' && exec sleep 600", there.data().string())},
         .output = "/dev/null",
         .errors = "/dev/null"});
    const auto cwd = std::filesystem::path("/proc") / std::to_string(standing.pid()) / "cwd";
    wait_until("it to stand there", [&] { return std::filesystem::read_symlink(cwd) == there.data(); });
    const auto busy = run_branch("stop", {"try"});
    EXPECT_EQ(busy.exit_code, 7) << busy.describe();
    EXPECT_THAT(busy.err, HasSubstr(fmt::format("(process {})", standing.pid())));
    EXPECT_EQ(state_of("try"), "stopped");
    EXPECT_EQ(moved("reset", "try").value(count), "1") << "what is thrown away may be in use";
  }
  branch_json("stop", "try");
  EXPECT_EQ(state_of("try"), "stopped");
}

TEST_F(BranchLifeTest, TheLatestMomentWithoutAStreamIsSaidToBe) {
  protect_rows(1);
  start_stream(source_);
  EXPECT_EQ(run_branch("create", {"one"}).err.find("no stream"), std::string::npos);
  stop_stream();
  const auto run = run_branch("create", {"two"});
  EXPECT_EQ(run.exit_code, 0) << run.describe();
  EXPECT_THAT(run.err, HasSubstr("no stream of app runs"));

  std::ofstream(path("repository/clusters/app/leases/stream")) << "torn";
  const auto torn = run_branch("create", {"three"});
  EXPECT_EQ(torn.exit_code, 0) << torn.describe();
  EXPECT_THAT(torn.err, HasSubstr("whether a stream of app runs is not known"));
}

TEST_F(BranchLifeTest, TheSourcesMemoryIsNotAskedFor) {
  protect_rows(1);
  for (const auto* setting : {"huge_pages = 'on'", "shared_buffers = '900GB'", "wal_buffers = '2000MB'",
                              "min_dynamic_shared_memory = '900GB'"})
    source_.query(fmt::format("ALTER SYSTEM SET {}", setting));
  backup();
  EXPECT_EQ(branch("try").value(count), "1");
}

// A job has the address of the server that it was made on.
TEST_F(BranchLifeTest, JobsOfTheSourceAreNotRunByIt) {
  // Where only the server itself looks.
  const auto elsewhere =
      directory().write("elsewhere.conf", "shared_preload_libraries = 'pg_stat_statements, pg_cron'\n");
  PostgresServer source({.settings = {fmt::format("include '{}'", elsewhere.string())}});
  source.start();
  protect(source);
  source.query("CREATE EXTENSION pg_cron");
  source.query("SELECT cron.schedule('* * * * *', 'SELECT 1')");
  backup();
  const std::string workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_cron%'";
  EXPECT_EQ(source.query_value(workers), "1");
  const auto there = branch("try");
  EXPECT_EQ(there.value("SHOW shared_preload_libraries"), "pg_stat_statements");
  EXPECT_EQ(there.value(workers), "0");
  EXPECT_EQ(there.value("SELECT count(*) FROM cron.job"), "1");
  branch_json("promote", "try", {"--to", path("native"), "--no-start"});
  EXPECT_THAT(read_text(std::filesystem::path(path("native")) / "postgresql.auto.conf"),
              HasSubstr("\nshared_preload_libraries = 'pg_stat_statements'\n"));
}

TEST_F(BranchLifeTest, AStateFolderBehindALinkIsTheOneItLeadsTo) {
  protect_rows(1);
  std::filesystem::create_directory_symlink(directory().make("far"), path("near"));
  auto elsewhere = environment();
  elsewhere["PGSTRATA_STATE_DIR"] = path("near/state");
  const auto run = [&](const char* verb) {
    const auto outcome = run_pgstrata({"branch", verb, "app", "try"}, elsewhere);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
  };
  run("create");
  const auto list = run_pgstrata({"branch", "list", "app"}, elsewhere);
  EXPECT_THAT(list.out, HasSubstr("running")) << list.describe();
  run("stop");
  run("start");
  run("delete");
  EXPECT_FALSE(std::filesystem::exists(path("far/state/branches/app/try")));
}

// What its superuser can do is done as the server's user, beside commands that root may run.
class BranchOfAnAttacker : public BranchLifeTest {
 protected:
  void SetUp() override {
    BranchLifeTest::SetUp();
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

TEST_F(BranchLifeTest, NamesAndErrors) {
  protect_rows(1);
  EXPECT_EQ(run_branch("create", {"Bad Name"}).exit_code, 2);
  EXPECT_EQ(run_branch("create", {"x", "--at", "1999-01-01 00:00:00Z"}).exit_code, 4);
  EXPECT_EQ(run_branch("create", {"x", "--exclusive"}).exit_code, 2);
  EXPECT_EQ(pgstrata({"branch", "create", "nobody", "x"}).exit_code, 3);
  EXPECT_FALSE(std::filesystem::exists(home_of("x")));
  branch("one");
  const auto twice = run_branch("create", {"one"});
  EXPECT_EQ(twice.exit_code, 1) << twice.describe();
  EXPECT_THAT(twice.err, HasSubstr("there is a branch \"one\" already"));
  EXPECT_THAT(twice.err, HasSubstr("pgstrata branch reset"));
  EXPECT_EQ(state_of("one"), "running");
  for (const auto* verb : {"url", "stop", "start", "reset", "delete"}) {
    const auto missing = run_branch(verb, {"two"});
    EXPECT_EQ(missing.exit_code, 3) << missing.describe();
    EXPECT_THAT(missing.err, HasSubstr("one"));
  }
  EXPECT_EQ(run_branch("advance", {"two", "--latest"}).exit_code, 3);
  EXPECT_EQ(run_branch("promote", {"two", "--to", path("to")}).exit_code, 3);
  EXPECT_EQ(run_branch("rename", {"one", "two"}).exit_code, 7);
  branch_json("stop", "one");
  const auto stopped = run_branch("psql", {"one"});
  EXPECT_EQ(stopped.exit_code, 1) << stopped.describe();
  EXPECT_THAT(stopped.err, HasSubstr("pgstrata branch start app one"));
  EXPECT_EQ(run_branch("rename", {"one", "Two"}).exit_code, 2);
  EXPECT_EQ(run_branch("rename", {"one", "two"}).exit_code, 0);
  EXPECT_EQ(moved("start", "two").value(count), "1");
  EXPECT_EQ(moved("start", "two").value(count), "1");
  const auto psql = pgstrata({"branch", "psql", "app", "two", "--", "-XAtc", "SELECT 'psql ran'"});
  EXPECT_THAT(psql.out, HasSubstr("psql ran")) << psql.describe();
}

TEST_F(BranchLifeTest, AnotherNameOfTheSuperuserIsInTheUrl) {
  source_.start();
  source_.query("CREATE ROLE helper SUPERUSER LOGIN");
  SqlConnection(source_.conninfo("helper")).run("ALTER ROLE postgres RENAME TO \"the boss\"");
  json_of({"init"});
  json_of({"add", "app", "--url", source_.url("the%20boss")});
  backup();
  const auto there = branch("try");
  EXPECT_THAT(there.created().at("url").get<std::string>(), HasSubstr("postgresql://the%20boss@"));
  SqlConnection connection(there.created().at("url").get<std::string>());
  EXPECT_EQ(connection.value("SELECT current_user"), "the boss");
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

TEST_F(BranchLifeTest, WhatThisMachineLacksIsSaidPlainly) {
  protect_rows(1);
  const auto library = run_branch("create", {"lib", "--set", "shared_preload_libraries=nobody_has_this"});
  EXPECT_EQ(library.exit_code, 1);
  EXPECT_THAT(library.err, HasSubstr("install the extension's package"));
  EXPECT_FALSE(std::filesystem::exists(home_of("lib")));
  const auto log = home_of("lib").string() + ".postgres.log";
  EXPECT_THAT(library.err, HasSubstr("Its log is " + log));
  EXPECT_THAT(read_text(log), HasSubstr("nobody_has_this"));
  branch("lib");
  EXPECT_FALSE(std::filesystem::exists(log)) << "of one that was made since";

  auto far = environment();
  far["PGSTRATA_STATE_DIR"] = path("state/" + std::string(80, 'x'));
  const auto long_path = run_pgstrata({"branch", "create", "app", "far"}, far);
  EXPECT_EQ(long_path.exit_code, 2);
  EXPECT_THAT(long_path.err, HasSubstr("PGSTRATA_STATE_DIR"));

  auto poor = environment();
  poor["PATH"] = "/nowhere";
  const auto no_fuse = run_pgstrata({"branch", "create", "app", "poor"}, poor);
  EXPECT_EQ(no_fuse.exit_code, 1);
  EXPECT_THAT(no_fuse.err, HasSubstr("fusermount3"));
  EXPECT_THAT(no_fuse.err, HasSubstr("pgstrata restore"));
}

// The source's locale is one that nobody else has: the server of a branch does not look where it is.
class BranchOfAnotherLocale : public BranchTest {
 protected:
  static constexpr const char* locale = "xx_OWN.UTF-8";

  std::unique_ptr<PostgresServer> source_with(std::vector<std::string> settings = {}) {
    const auto made = run_program({"/usr/bin/localedef", "--no-archive", "-i", "de_DE", "-f", "UTF-8",
                                   (locales_.path() / locale).string()});
    EXPECT_EQ(made.exit_code, 0) << made.describe();
    auto source = std::make_unique<PostgresServer>(ServerOptions{
        .settings = std::move(settings), .environment = {{"LOCPATH", locales_.path().string()}}});
    source->start();
    protect(*source);
    return source;
  }

 private:
  TemporaryDirectory locales_;
};

TEST_F(BranchOfAnotherLocale, ADatabaseThatCannotBeOpenedHereIsNamed) {
  const auto source = source_with();
  source->query(
      fmt::format("CREATE DATABASE german TEMPLATE template0 LC_COLLATE '{0}' LC_CTYPE '{0}'", locale));
  backup();
  const auto made = run_branch("create", {"try"});
  EXPECT_EQ(made.exit_code, 0) << made.describe();
  EXPECT_THAT(made.err, HasSubstr("\"german\" has the locale \"xx_OWN.UTF-8\", which this machine lacks"));
  EXPECT_THAT(made.err, HasSubstr("locales-all"));
}

TEST_F(BranchOfAnotherLocale, OneThatTheServerNeedsIsNamed) {
  const auto source = source_with({fmt::format("lc_time = '{}'", locale)});
  backup();
  const auto made = run_branch("create", {"try"});
  EXPECT_EQ(made.exit_code, 1);
  EXPECT_THAT(made.err, HasSubstr(locale));
  EXPECT_THAT(made.err, HasSubstr("locales-all")) << made.describe();
  EXPECT_FALSE(std::filesystem::exists(home_of("try")));
}

TEST_F(BranchOfAnotherLocale, AnotherVersionOfItsCollationIsSaid) {
  PostgresServer source;
  source.start();
  protect(source);
  source.query("CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'");
  source.query("UPDATE pg_database SET datcollversion = '1.2.3' WHERE datname = 'sorted'");
  backup();
  const auto made = run_branch("create", {"try"});
  EXPECT_EQ(made.exit_code, 0) << made.describe();
  EXPECT_THAT(made.err, HasSubstr("\"sorted\" was sorted by version 1.2.3 of its collation"));
  EXPECT_THAT(made.err, HasSubstr("REINDEX"));
}

// Root's branch: the server runs as the server's user, who sees nothing else of it.
TEST_F(BranchLifeTest, RootsBranchIsServedByTheServersUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  protect_rows();
  const auto as_root = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), pgstrata_path());
    ProcessOptions process{.arguments = std::move(arguments)};
    for (const auto& [name, value] : environment()) process.environment.emplace_back(name, value);
    const auto run = run_command(process);
    if (!run || !run->status.success())
      throw TestFailure(run ? std::string(as_text(run->errors)) : run.error().describe());
    return Json::parse(as_text(run->output));
  };
  TestedBranch there(home_of("try"), as_root({"branch", "create", "app", "try", "--output", "json"}));
  EXPECT_EQ(there.value(count), "1000");
  there.query("INSERT INTO t VALUES (0)");
  there.kill9_mount_process();
  there = TestedBranch(home_of("try"), as_root({"branch", "start", "app", "try", "--output", "json"}));
  EXPECT_EQ(there.value(count), "1001");
  EXPECT_THAT(amcheck_problems(there.place()), IsEmpty());
  as_root({"branch", "delete", "app", "try", "--output", "json"});
  EXPECT_FALSE(std::filesystem::exists(home_of("try")));
}

}  // namespace
}  // namespace pgstrata::testing
