// The commands on branches: what they say, refuse and keep to themselves.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "e2e/branch_fixture.h"
#include "support/wait_until.h"
#include "sys/process.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BranchCommandsTest : public BranchedRowsTest {};

TEST_F(BranchCommandsTest, PsqlStaysInTheBranchWhateverItIsTold) {
  protect_rows(1);
  branch("try");
  const auto run = run_branch("psql", {"try", "--", "-X", "-U", "postgres", "-d", "template1", "-Atc",
                                       "SELECT current_database() || current_setting('data_directory')"});
  EXPECT_EQ(run.exit_code, 0) << run.describe();
  EXPECT_EQ(run.out, "template1" + (home_of("try") / "fs/data").native() + "\n");
}

TEST_F(BranchCommandsTest, RolesAndPasswordsAreTheSources) {
  protect_rows(1);
  source_.query("CREATE ROLE teacher LOGIN PASSWORD 'chalk'");
  source_.query("CREATE DATABASE school OWNER teacher");
  add_rows(1);
  const auto there = branch("try");
  there.query("CREATE EXTENSION hstore", "school");
  const auto as_teacher = [&](const std::string& password) {
    return SqlConnection(
        fmt::format("host=localhost port={} dbname=school user=teacher password={}", there.port(), password));
  };
  EXPECT_EQ(as_teacher("chalk").value("SELECT 'a=>1'::hstore -> 'a'"), "1");
  EXPECT_THROW(as_teacher("cheese"), SqlError);
  EXPECT_THAT(there.created().at("tcp_url").get<std::string>(),
              HasSubstr(fmt::format("localhost:{}", there.port())));
}

TEST_F(BranchCommandsTest, NothingIsPutWhereItWouldGoWithABranch) {
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

TEST_F(BranchCommandsTest, ItsPortMayBeChosen) {
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

TEST_F(BranchCommandsTest, ExpiredOnesGo) {
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
  EXPECT_THAT(run.out, ::testing::ContainsRegex("BRANCH +MOMENT +AGE +OVERLAY +WAL +STATE +EXPIRES"));
  EXPECT_THAT(run.out, ::testing::ContainsRegex("stays .* s +[0-9.]+ [KM]iB +[0-9.]+ MiB +running +20"));
  EXPECT_GT(listed().at(0).at("overlay_bytes").get<std::uint64_t>(), 0U);
  EXPECT_GE(listed().at(0).at("wal_bytes").get<std::uint64_t>(), 16U << 20);
  EXPECT_THAT(run.err, HasSubstr("branch \"goes\" of app expired"));
  EXPECT_FALSE(std::filesystem::exists(home_of("goes")));
  EXPECT_EQ(state_of("stays"), "running");
  EXPECT_EQ(run_branch("url", {"goes"}).exit_code, 3);
  const auto before = listed().at(0).at("expires").get<std::string>();
  EXPECT_GT(branch_json("set-expiration", "stays", {"--expires", "30d"}).at("expires"), before);
  EXPECT_TRUE(branch_json("set-expiration", "stays").at("expires").is_null());
}

TEST_F(BranchCommandsTest, ABrokenOneSaysWhatItLacks) {
  protect_rows(1);
  const auto there = branch("try");
  EXPECT_TRUE(listed().at(0).at("trouble").is_null());
  there.kill9_postmaster();
  EXPECT_THAT(run_branch("list", {}).out, HasSubstr("try is broken: its server ended"));
  there.kill9_mount_process();
  EXPECT_THAT(listed().at(0).at("trouble").get<std::string>(), HasSubstr("its file system is not there"));
  EXPECT_EQ(moved("start", "try").value(count), "1");
}

TEST_F(BranchCommandsTest, StopSaysWhoStandsInItsFiles) {
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

TEST_F(BranchCommandsTest, TheLatestMomentWithoutAStreamIsSaidToBe) {
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

TEST_F(BranchCommandsTest, TheSourcesMemoryIsNotAskedFor) {
  protect_rows(1);
  for (const auto* setting : {"huge_pages = 'on'", "shared_buffers = '900GB'", "wal_buffers = '2000MB'",
                              "min_dynamic_shared_memory = '900GB'"})
    source_.query(fmt::format("ALTER SYSTEM SET {}", setting));
  backup();
  EXPECT_EQ(branch("try").value(count), "1");
}

// A job has the address of the server that it was made on.
TEST_F(BranchCommandsTest, JobsOfTheSourceAreNotRunByIt) {
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

TEST_F(BranchCommandsTest, AStateFolderBehindALinkIsTheOneItLeadsTo) {
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

TEST_F(BranchCommandsTest, NamesAndErrors) {
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

TEST_F(BranchCommandsTest, AnotherNameOfTheSuperuserIsInTheUrl) {
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

TEST_F(BranchCommandsTest, WhatThisMachineLacksIsSaidPlainly) {
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
TEST_F(BranchCommandsTest, RootsBranchIsServedByTheServersUser) {
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
