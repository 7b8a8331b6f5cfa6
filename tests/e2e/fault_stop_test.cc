// SIGINT and SIGTERM: a clean stop within two seconds, whatever a command is waiting for or working at. Each
// is held, or caught, where the name of the test says.
#include <csignal>
#include <cstring>
#include <random>

#include "e2e/held_checkpoint.h"
#include "support/cuttable_link.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class FaultStopTest : public FaultTest {
 protected:
  // Sends the signal and returns how it ended; tells how long that took.
  static ProgramRun stop(BackgroundPgstrata& program, const std::string& what) {
    static int signal_number = SIGTERM;
    signal_number = signal_number == SIGTERM ? SIGINT : SIGTERM;  // each in turn
    EXPECT_TRUE(program.running()) << what << " was over before it was told to stop";
    const auto begun = std::chrono::steady_clock::now();
    program.send_signal(signal_number);
    ProgramRun run = program.wait();
    const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun);
    fmt::print("{} stopped {} ms after signal {}\n", what, took.count(), signal_number);
    EXPECT_LT(took, seconds(2)) << what << ": " << run.describe();
    return run;
  }
  static void expect_stopped(BackgroundPgstrata& program, const std::string& what) {
    const ProgramRun run = stop(program, what);
    EXPECT_EQ(run.exit_code, 1) << run.describe();
    EXPECT_THAT(run.err, HasSubstr("pgstrata: error: stopped on request")) << what;
  }
  // By what the kernel counts: so much that it is in the midst of it.
  static std::uint64_t read_bytes(pid_t process) {
    const auto text = read_text(fmt::format("/proc/{}/io", process));
    const auto at = text.find("rchar: ");
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + 7));
  }
  // Incompressible files for a base backup to take along.
  static void put_ballast(const PostgresServer& server) {
    std::mt19937_64 random(1);
    std::string content(16U << 20, '\0');
    for (int number = 0; number < 8; ++number) {
      for (std::size_t at = 0; at < content.size(); at += sizeof(std::uint64_t)) {
        const std::uint64_t word = random();
        std::memcpy(&content[at], &word, sizeof word);
      }
      const auto path = server.data_directory() / fmt::format("ballast-{}", number);
      std::ofstream(path, std::ios::binary) << content;
      std::filesystem::permissions(path, std::filesystem::perms::all);  // the server's user is another
    }
  }
  std::string through(const CuttableLink& link) const {
    return fmt::format("postgresql://postgres@127.0.0.1:{}/postgres", link.port());
  }
};

TEST_F(FaultStopTest, WhatAsksASourceThatDoesNotAnswer) {
  PostgresServer server;
  protect(server);
  CuttableLink link(server.port());
  ok({"add", "silent", "--url", through(link)});
  link.stall();
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"add", "another", "--url", through(link)},
                                             {"backup", "silent", "--base"},
                                             {"status", "silent"}}) {
    const auto connections = link.accepted();
    const auto program = start_pgstrata(command);
    wait_until(command[0] + " to ask", [&] { return link.accepted() > connections; });
    expect_stopped(*program, command[0] + " of a silent source");
  }
  const auto connections = link.accepted();
  const auto stream = start_pgstrata({"stream", "silent"});
  wait_until("the stream to ask", [&] { return link.accepted() > connections; });
  EXPECT_EQ(stop(*stream, "stream of a silent source").exit_code, 0);
  EXPECT_EQ(server.query_value("SELECT count(*) FROM pg_replication_slots"), "2");
  const Json silent = json_of({"status", "silent", "--offline"}).at("clusters").at(0);
  EXPECT_TRUE(silent.at("stream").is_null());
  EXPECT_TRUE(silent.at("backup").is_null());
}

TEST_F(FaultStopTest, ABackupBeforeItsFirstByteAmidItsFilesAndAtItsLastWal) {
  PostgresServer server;
  protect(server);
  {
    const HeldCheckpoint held(server);
    const auto backup = start_pgstrata({"backup", "app", "--base"});
    wait_for_backup_to_wait(server);
    expect_stopped(*backup, "backup before the first byte");
  }
  {
    CuttableLink link(server.port());
    link.stall_after(4U << 20);
    const auto backup = start_pgstrata({"backup", "app", "--base", "--url", through(link)});
    wait_until("the way to the source to be blocked", [&] { return link.stalled(); });
    expect_stopped(*backup, "backup amid its files");
  }
  {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_for_lease("stream");
    auto held = std::make_unique<HeldCheckpoint>(server);
    const auto backup = start_pgstrata({"backup", "app", "--base"});
    wait_for_backup_to_wait(server);
    halt(stream->pid());  // it holds its lease, and brings nothing
    held.reset();
    wait_until("the files to be there",
               [&] { return server.query_value("SELECT count(*) FROM pg_stat_progress_basebackup") == "0"; });
    expect_stopped(*backup, "backup at its last WAL");
    stream->send_signal(SIGCONT);
    EXPECT_EQ(stop(*stream, "stream").exit_code, 0);
  }
  EXPECT_EQ(snapshots(), 0U);
  EXPECT_TRUE(status().at("backup").is_null());
  ok({"backup", "app", "--base"});
  ok({"verify"});
}

TEST_F(FaultStopTest, AStreamUnderLoadBehindABackupCutOffAndBlocked) {
  PostgresServer server;
  protect(server);
  {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_for_lease("stream");
    server.query("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 200000) AS n");
    EXPECT_EQ(stop(*stream, "stream under load").exit_code, 0);
  }
  {
    const HeldCheckpoint held(server);
    const auto backup = start_pgstrata({"backup", "app", "--base"});
    wait_for_backup_to_wait(server);
    const auto stream = start_pgstrata({"stream", "app"});
    stream->wait_for_output("receives the WAL it needs itself");
    EXPECT_EQ(stop(*stream, "stream behind a backup").exit_code, 0);
    expect_stopped(*backup, "backup with its own stream");
  }
  {
    CuttableLink link(server.port());
    const auto stream = start_pgstrata({"stream", "app", "--url", through(link)});
    wait_flushed(server);
    link.stall();
    server.query("UPDATE t SET n = -n WHERE n < 100");
    EXPECT_EQ(stop(*stream, "stream that is cut off").exit_code, 0);
  }
  {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_flushed(server);
    ASSERT_EQ(run_program({"/bin/chmod", "-R", "a-w", repository().string()}).exit_code, 0);
    server.query("INSERT INTO t VALUES (0); SELECT pg_switch_wal()");
    stream->wait_for_output("does not take WAL");
    EXPECT_EQ(stop(*stream, "stream whose repository takes nothing").exit_code, 0);
    ASSERT_EQ(run_program({"/bin/chmod", "-R", "u+w", repository().string()}).exit_code, 0);
  }
  EXPECT_TRUE(status().at("stream").is_null());
  const auto stream = start_pgstrata({"stream", "app"});
  wait_flushed(server);
  EXPECT_EQ(stream->terminate().exit_code, 0);
}

TEST_F(FaultStopTest, VerifyAndRestoreInTheMidstOfManyBytes) {
  PostgresServer server;
  protect(server);
  put_ballast(server);
  ok({"backup", "app", "--base"});
  for (int round = 0; round < 2; ++round) {
    const auto verify = start_pgstrata({"verify"});
    wait_until("verify to read", [&] { return read_bytes(verify->pid()) > 16U << 20; });
    expect_stopped(*verify, "verify");
  }
  const auto target = path("restored");
  const auto control_file = target / "global" / "pg_control";
  const std::vector<std::string> restore{"restore", "app", "--to", target.string()};
  {
    const auto program = start_pgstrata(restore);
    wait_until("restore to write", [&] { return std::filesystem::exists(target / "ballast-0"); });
    expect_stopped(*program, "restore");
    EXPECT_FALSE(std::filesystem::exists(control_file));
  }
  auto over = restore;
  over.emplace_back("--delta");
  ok(over);
  {
    const auto program = start_pgstrata(over);
    wait_until("restore --delta to compare", [&] { return read_bytes(program->pid()) > 16U << 20; });
    expect_stopped(*program, "restore --delta");
    EXPECT_FALSE(std::filesystem::exists(control_file));
  }
  ok(over);
  EXPECT_TRUE(std::filesystem::exists(control_file));
}

// Ends the server that a restore started.
class StopAtEnd {
 public:
  explicit StopAtEnd(const std::filesystem::path& data_directory)
      : pid_file_(data_directory / "postmaster.pid"), pid_(std::stoi(read_text(pid_file_))) {}
  ~StopAtEnd() {
    ::kill(pid_, SIGINT);
    wait_until("the server to end", [&] { return !std::filesystem::exists(pid_file_); });
  }
  StopAtEnd(const StopAtEnd&) = delete;
  StopAtEnd& operator=(const StopAtEnd&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  std::filesystem::path pid_file_;
  pid_t pid_;
};

// What it started goes on: the message says so.
TEST_F(FaultStopTest, ARestoreThatWaitsForRecovery) {
  PostgresServer server;
  protect(server);
  ok({"backup", "app", "--base"});
  server.query("CREATE TABLE t AS SELECT 1 AS n");
  ok({"stream", "app", "--until-lsn", server.query_value("SELECT pg_current_wal_flush_lsn()")});
  server.stop();
  const auto target = path("restored");
  const PortReservation port;
  const auto restore =
      start_pgstrata({"restore", "app", "--to", target.string(), "--start", "--set",
                      "recovery_min_apply_delay=1h", "--set", fmt::format("port={}", port.port())});
  wait_until("recovery to wait for its time", [&] {
    return read_text(target / "pgstrata_restore.log").contains("consistent recovery state reached");
  });
  const StopAtEnd recovering(target);
  const ProgramRun run = stop(*restore, "restore --start");
  expect_clear(run, 1, fmt::format("PostgreSQL goes on recovering as process {}", recovering.pid()));
  EXPECT_EQ(::kill(recovering.pid(), 0), 0) << "it was left alone";
}

}  // namespace
}  // namespace pgstrata::testing
