// What `restore --start` must get right beside the data: settings that changed after the backup, what the
// started server inherits, and what an operator is told when it does not go well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/main_job_fixture.h"
#include "support/test_failure.h"
#include "support/wait_until.h"
#include "sys/process.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RestoreAfterRaisedLimits : public MainJob, public ::testing::TestWithParam<int> {};

// The WAL says that the source now allows more than the configuration in the backup: recovery with
// hot_standby would wait for ever for somebody to raise it there too.
TEST_P(RestoreAfterRaisedLimits, RecoveryGoesOn) {
  PostgresServer source(
      {.major = GetParam(), .settings = {"max_connections = 30", "max_worker_processes = 4"}});
  source.start();
  protect(source);
  backup();
  source.configure({"max_connections = 60", "max_worker_processes = 12", "max_wal_senders = 15"});
  source.restart();
  source.query("CREATE TABLE late AS SELECT generate_series(1, 100) AS n");
  wait_until_durable(source);
  source.stop();

  const auto restored = restore_and_start("started", {"--latest"});
  EXPECT_EQ(restored->query_value("SELECT count(*) FROM late"), "100");
  EXPECT_EQ(restored->query_value("SHOW max_connections"), "30");
  restored->stop();
  EXPECT_EQ(read_text(path("started") / "postgresql.auto.conf").find("hot_standby"), std::string::npos);

  restore("by_hand", {"--latest"});
  PostgresServer by_hand = PostgresServer::adopt(path("by_hand"));
  by_hand.start();
  EXPECT_EQ(by_hand.query_value("SELECT count(*) FROM late"), "100");
}

INSTANTIATE_TEST_SUITE_P(Majors, RestoreAfterRaisedLimits, ::testing::ValuesIn(newest_major()));

class RestoreStartTest : public MainJobTest {
 protected:
  // A table of a hundred rows, in a backup and the WAL after it.
  void protect_rows() {
    source_.start();
    protect(source_);
    backup();
    source_.query("CREATE TABLE late AS SELECT generate_series(1, 100) AS n");
    wait_until_durable(source_);
  }
  PostgresServer source_;
};

TEST_F(RestoreStartTest, TheServerInheritsNoSecret) {
  protect_rows();
  auto variables = environment();
  variables["MY_PASSPHRASE"] = "secret one";
  variables["PGSTRATA_PASSPHRASE"] = "secret two";
  variables["PGPASSWORD"] = "secret three";
  variables["PGPASSFILE"] = "/secret/four";
  variables["LC_TIME"] = "C";
  const PortReservation port;
  const auto run = [&](std::vector<std::string> arguments) {
    const ProgramRun ran = run_pgstrata(std::move(arguments), variables);
    if (ran.exit_code != 0) throw TestFailure(ran.describe());
    return Json::parse(ran.out);
  };
  run({"key", "add", "--key-file", path("key"), "--new-passphrase-env", "MY_PASSPHRASE", "--output", "json"});
  const Json outcome = run({"restore", "app", "--to", path("started"), "--start", "--passphrase-env",
                            "MY_PASSPHRASE", "--set", fmt::format("port={}", port.port()), "--set",
                            "unix_socket_directories=" + directory().path().string(), "--set",
                            "listen_addresses=", "--output", "json"});
  const pid_t pid = outcome.at("started").at("process_id");
  const LeftRunningServer server(path("started"), directory().path(), port.port(), pid);
  EXPECT_EQ(server.query_value("SELECT count(*) FROM late"), "100");
  const std::string inherited = '\0' + read_text(fmt::format("/proc/{}/environ", pid));
  EXPECT_THAT(inherited, HasSubstr(std::string("\0PATH=", 6)));
  EXPECT_THAT(inherited, HasSubstr(std::string("\0HOME=", 6)));
  EXPECT_THAT(inherited, HasSubstr(std::string("\0LC_TIME=C", 10)));
  EXPECT_THAT(inherited, Not(HasSubstr("secret")));
  EXPECT_THAT(inherited, Not(HasSubstr("PGSTRATA")));
}

TEST_F(RestoreStartTest, AStartThatFailsLeavesTheRestoredFiles) {
  protect_rows();
  const ProgramRun run = pgstrata(
      {"restore", "app", "--to", path("copy"), "--start", "--set", "no_such_setting=1", "--output", "json"});
  EXPECT_EQ(run.exit_code, 1) << run.describe();
  EXPECT_THAT(run.err, HasSubstr("unrecognized configuration parameter \"no_such_setting\""));
  EXPECT_THAT(run.err, HasSubstr("postgresql.auto.conf\" contains errors"));
  EXPECT_THAT(run.err, HasSubstr("The files are complete"));
  const Json outcome = Json::parse(run.out);
  EXPECT_GT(outcome.at("restored").at("files"), 0);
  EXPECT_TRUE(outcome.at("started").is_null());
  EXPECT_THAT(outcome.at("start_error").get<std::string>(), HasSubstr("contains errors"));
}

TEST_F(RestoreStartTest, SaysHowTheServerThatItLeavesRuns) {
  protect_rows();
  const PortReservation port;
  const ProgramRun run = pgstrata(
      {"restore", "app", "--to", path("started"), "--start", "--set", fmt::format("port={}", port.port()),
       "--set", "unix_socket_directories=" + directory().path().string(), "--set", "listen_addresses="});
  ASSERT_EQ(run.exit_code, 0) << run.describe();
  const pid_t pid = std::stoi(read_text(path("started") / "postmaster.pid"));
  const LeftRunningServer server(path("started"), directory().path(), port.port(), pid);
  EXPECT_THAT(run.out, HasSubstr(fmt::format("pg_ctl -D {} stop", path("started").string())));
  EXPECT_EQ(server.query_value("SELECT source FROM pg_settings WHERE name = 'logging_collector'"),
            "command line");
}

TEST_F(RestoreStartTest, APortThatIsTakenIsSaid) {
  protect_rows();
  std::vector<std::string> command{"restore",
                                   "app",
                                   "--to",
                                   path("copy"),
                                   "--start",
                                   "--set",
                                   "unix_socket_directories=" + directory().path().string(),
                                   "--set",
                                   "listen_addresses=127.0.0.1",
                                   "--set",
                                   fmt::format("port={}", source_.port())};
  const ProgramRun run = pgstrata(command);
  EXPECT_EQ(run.exit_code, 1) << run.describe();
  EXPECT_THAT(run.err,
              HasSubstr("hint: Another server has that port: choose one with `--set port=NUMBER`; the "
                        "same command with that and --delta goes on from what is there."));
  EXPECT_THAT(run.err, HasSubstr("The files are complete"));
  const PortReservation port;
  command.back() = fmt::format("port={}", port.port());
  command.emplace_back("--delta");
  const ProgramRun again = pgstrata(command);
  ASSERT_EQ(again.exit_code, 0) << again.describe();
  const pid_t pid = std::stoi(read_text(path("copy") / "postmaster.pid"));
  const LeftRunningServer server(path("copy"), directory().path(), port.port(), pid);
  EXPECT_EQ(server.query_value("SELECT count(*) FROM late"), "100");
}

TEST_F(RestoreStartTest, AFolderForItsSocketThatIsMissingIsSaid) {
  protect_rows();
  const PortReservation port;
  const ProgramRun run = pgstrata({"restore", "app", "--to", path("copy"), "--start", "--set",
                                   fmt::format("port={}", port.port()), "--set",
                                   "unix_socket_directories=" + path("missing").string()});
  EXPECT_EQ(run.exit_code, 1) << run.describe();
  EXPECT_THAT(run.err, HasSubstr("`--set unix_socket_directories=DIR`"));
  EXPECT_THAT(run.err, Not(HasSubstr("Another server")));
}

TEST_F(RestoreStartTest, ASignalWhileItRecoversSaysWhatGoesOn) {
  protect_rows();
  const PortReservation port;
  BackgroundPgstrata restore(
      {"restore", "app", "--to", path("copy"), "--start", "--set", "hot_standby=on", "--set",
       "recovery_min_apply_delay=1h", "--set", fmt::format("port={}", port.port()), "--set",
       "unix_socket_directories=" + directory().path().string(), "--set", "listen_addresses="},
      environment());
  const auto log = path("copy") / "pgstrata_restore.log";
  wait_until("recovery to be delayed", [&] {
    if (!restore.running()) throw TestFailure(restore.wait().describe());
    return read_text(log).find("ready to accept read-only connections") != std::string::npos;
  });
  const pid_t pid = std::stoi(read_text(path("copy") / "postmaster.pid"));
  const LeftRunningServer server(path("copy"), directory().path(), port.port(), pid);
  const ProgramRun run = restore.terminate();
  EXPECT_EQ(run.exit_code, 1) << run.describe();
  EXPECT_THAT(run.out, HasSubstr("its files are complete"));
  EXPECT_THAT(run.err, HasSubstr(fmt::format("PostgreSQL goes on recovering as process {}", pid)));
  EXPECT_THAT(run.err, HasSubstr(log.string()));
  EXPECT_THAT(run.err, Not(HasSubstr("not complete")));
  EXPECT_EQ(server.query_value("SELECT pg_is_in_recovery()"), "t");
}

// As PostgreSQL documents it: to look, and then to decide.
TEST_F(RestoreStartTest, ARecoveryThatIsToPauseIsThereOnceItHas) {
  protect_rows();
  const std::string lsn = source_.query_value("SELECT pg_current_wal_lsn()");
  source_.query("DELETE FROM late");
  wait_until_durable(source_);
  const PortReservation port;
  const auto restore = [&](std::vector<std::string> further) {
    std::vector<std::string> arguments{"restore",
                                       "app",
                                       "--to",
                                       path("copy"),
                                       "--lsn",
                                       lsn,
                                       "--start",
                                       "--set",
                                       fmt::format("port={}", port.port()),
                                       "--set",
                                       "unix_socket_directories=" + directory().path().string(),
                                       "--set",
                                       "listen_addresses="};
    arguments.insert(arguments.end(), further.begin(), further.end());
    return pgstrata(std::move(arguments));
  };
  const ProgramRun refused = restore({"--set", "recovery_target_action=shutdown"});
  EXPECT_EQ(refused.exit_code, 2) << refused.describe();
  EXPECT_FALSE(std::filesystem::exists(path("copy")));

  const ProgramRun run =
      restore({"--set", "recovery_target_action=pause", "--set", "log_min_messages=panic"});
  ASSERT_EQ(run.exit_code, 0) << run.describe();
  const pid_t pid = std::stoi(read_text(path("copy") / "postmaster.pid"));
  const LeftRunningServer server(path("copy"), directory().path(), port.port(), pid);
  EXPECT_THAT(run.out, HasSubstr("recovery has paused at the target"));
  EXPECT_THAT(run.out, HasSubstr("SELECT pg_wal_replay_resume()"));
  EXPECT_THAT(run.out, HasSubstr("once it is open, remove what only recovery needed"));
  EXPECT_EQ(server.query_value("SELECT pg_get_wal_replay_pause_state()"), "paused");
  EXPECT_EQ(server.query_value("SELECT count(*) FROM late"), "100");
  server.query("SELECT pg_wal_replay_resume()");
  wait_until("the copy to open", [&] { return server.query_value("SELECT pg_is_in_recovery()") == "f"; });
  server.query("INSERT INTO late VALUES (101)");
}

// A major that is found only where PGSTRATA_PG_BINDIR says.
std::optional<int> hidden_major() {
  for (const int major : available_majors()) {
    if (!PostgresBinaries::find(major).directory().string().starts_with("/usr/")) return major;
  }
  return std::nullopt;
}

TEST_F(MainJobTest, AMissingPostgresIsSaidBeforeAnythingIsWritten) {
  const auto major = hidden_major();
  if (!major) GTEST_SKIP() << "needs a major that is not installed in /usr";
  PostgresServer source({.major = *major});
  source.start();
  protect(source);
  backup();
  auto variables = environment();
  variables.erase("PGSTRATA_PG_BINDIR");
  const ProgramRun run = run_pgstrata({"restore", "app", "--to", path("copy"), "--start"}, variables);
  EXPECT_EQ(run.exit_code, 3) << run.describe();
  EXPECT_THAT(run.err, HasSubstr(fmt::format("PostgreSQL {} is not installed", *major)));
  EXPECT_FALSE(std::filesystem::exists(path("copy")));
}

TEST_F(RestoreStartTest, WhatARestoreLeavesIsSaidAndCanBeRemovedAsItSays) {
  source_.configure({"synchronous_standby_names = 'somebody'", "synchronous_commit = local",
                     "archive_mode = on", "archive_command = '/bin/false'"});
  protect_rows();
  const ProgramRun run = pgstrata({"restore", "app", "--to", path("copy")});
  ASSERT_EQ(run.exit_code, 0) << run.describe();
  EXPECT_THAT(run.out, HasSubstr("once it is open, remove what only recovery needed"));
  EXPECT_THAT(run.out, HasSubstr("synchronous_standby_names is empty"));
  PostgresServer copy = PostgresServer::adopt(path("copy"));
  copy.start();
  EXPECT_EQ(copy.query_value("SHOW synchronous_standby_names"), "");
  EXPECT_EQ(copy.query_value("SHOW archive_mode"), "off") << "it is the source's archive";
  const auto left = copy.query(
      "SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' AND (name LIKE 'recovery%' OR "
      "name IN ('restore_command', 'archive_cleanup_command', 'hot_standby', 'synchronous_standby_names', "
      "'archive_mode'))");
  EXPECT_EQ(left.size(), 13U);
  for (const auto& row : left) copy.query("ALTER SYSTEM RESET " + *row[0]);
  std::filesystem::remove_all(path("copy") / "pg_wal/pgstrata");
  copy.restart();
  EXPECT_EQ(copy.query_value("SHOW synchronous_standby_names"), "somebody");
  EXPECT_EQ(copy.query_value("SHOW restore_command"), "");
  EXPECT_EQ(copy.query_value("SHOW hot_standby"), "on");
}

// The newest of them, by name.
std::filesystem::path a_sealed_segment(const std::filesystem::path& repository) {
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(repository)) {
    const bool sealed = entry.is_regular_file() && entry.path().parent_path().filename() == "00000001" &&
                        entry.path().filename().string().size() == 24;
    if (sealed) newest = std::max(newest, entry.path());
  }
  if (newest.empty()) throw TestFailure("the repository holds no sealed segment");
  return newest;
}

// Everything is the server user's but what root wrote, as a backup by root's cron would leave it: one segment
// that recovery, running as that user, may not read.
TEST_F(RestoreStartTest, RootRestoresForTheServersUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  protect_rows();
  source_.query("SELECT pg_switch_wal()");
  source_.query("INSERT INTO late VALUES (101)");
  wait_until_durable(source_);
  const auto of_root = a_sealed_segment(repository());
  ASSERT_EQ(::chown(of_root.c_str(), 0, 0), 0);
  ASSERT_EQ(::chmod(of_root.c_str(), 0600), 0);

  const PortReservation port;
  const auto data = path("made") / "by" / "root";
  ProcessOptions process{.arguments = {pgstrata_path(), "restore", "app", "--to", data, "--start", "--output",
                                       "json", "--set", fmt::format("port={}", port.port()), "--set",
                                       "unix_socket_directories=" + directory().path().string(), "--set",
                                       "listen_addresses="}};
  for (const auto& [name, value] : environment()) process.environment.emplace_back(name, value);
  const auto run = run_command(process);
  ASSERT_TRUE(run.has_value()) << run.error().describe();
  ASSERT_TRUE(run->status.success()) << as_text(run->errors);
  const LeftRunningServer server(data, directory().path(), port.port(),
                                 Json::parse(as_text(run->output)).at("started").at("process_id"));
  EXPECT_EQ(server.query_value("SELECT count(*) FROM late"), "101");
  struct stat info {};
  ASSERT_EQ(::lstat((data / "pgstrata_restore.log").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, server_user().uid);
  ASSERT_EQ(::stat(data.parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0755U);
  // A backup of the copy reads every file in it.
  const ProgramRun backup =
      run_program({source_.binaries().program("pg_basebackup"), "-h", directory().path(), "-p",
                   std::to_string(port.port()), "-U", "postgres", "-D", path("backup"), "-c", "fast"});
  EXPECT_EQ(backup.exit_code, 0) << backup.describe();
}

}  // namespace
}  // namespace pgstrata::testing
