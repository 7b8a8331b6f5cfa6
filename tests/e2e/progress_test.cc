// What a person at a terminal sees of a backup under way, and that nobody else does.
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/fault_test.h"
#include "support/cuttable_link.h"
#include "support/terminal.h"

namespace pgstrata::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A process that stands still while this lives.
class Halt {
 public:
  explicit Halt(pid_t process) : process_(process) { ::kill(process_, SIGSTOP); }
  ~Halt() { ::kill(process_, SIGCONT); }
  Halt(const Halt&) = delete;
  Halt& operator=(const Halt&) = delete;

 private:
  pid_t process_;
};

class ProgressTest : public FaultTest {
 protected:
  void SetUp() override { protect(server_); }

  // `backup` with its messages on the terminal.
  [[nodiscard]] std::unique_ptr<ChildProcess> backup_at(const Terminal& terminal, const std::string& url) {
    return std::make_unique<ChildProcess>(
        ChildCommand{.arguments = {pgstrata_path(), "backup", "app", "--base", "--url", url},
                     .environment = environment(),
                     .output = path("out"),
                     .errors = terminal.path()});
  }
  // Reads what it shows, or it would wait for that.
  static void expect_success(ChildProcess& backup, Terminal& terminal) {
    wait_until("the end of the backup", [&] { return terminal.text(), !backup.running(); });
    EXPECT_EQ(backup.wait(std::chrono::seconds(1)), 0) << terminal.text();
  }

  PostgresServer server_;
};

TEST_F(ProgressTest, RateAndTimeLeftOnATerminal) {
  CuttableLink link(server_.port());
  // Some 25 MB take two seconds, and the rate of the first is shown.
  link.slow_down(12'000'000);
  Terminal terminal;
  const auto backup =
      backup_at(terminal, fmt::format("postgresql://postgres@127.0.0.1:{}/postgres", link.port()));
  expect_success(*backup, terminal);
  EXPECT_THAT(
      terminal.text(),
      ContainsRegex("receiving  [0-9.]+ MiB of [0-9.]+ MiB  [0-9]+%  [0-9.]+ [KM]iB/s  [0-9.]+ s left"));
  // The line is gone in the end, and the results went elsewhere.
  EXPECT_EQ(terminal.last_line(), "");
  EXPECT_THAT(read_text(path("out")), StartsWith("snapshot "));
}

TEST_F(ProgressTest, TheSourcesCheckpointIsWaitedForBeforeAnythingIsReceived) {
  Terminal terminal;
  std::unique_ptr<ChildProcess> backup;
  {
    const Halt checkpointer(std::stoi(
        server_.query_value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")));
    backup = backup_at(terminal, server_.url());
    wait_until("the source to make its checkpoint", [&] {
      return server_.query_value(
                 "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'waiting for "
                 "checkpoint%'") == "1";
    });
    wait_until("the backup to say so",
               [&] { return terminal.last_line() == "waiting for the source's checkpoint ..."; });
    EXPECT_THAT(terminal.text(), Not(HasSubstr("receiving ...")));
  }
  expect_success(*backup, terminal);
  EXPECT_THAT(terminal.text(), HasSubstr("receiving ..."));
}

TEST_F(ProgressTest, NothingOfTheSortWithoutATerminal) {
  const ProgramRun run = ok({"backup", "app", "--base"});
  for (const auto* shown : {"receiving ...", "waiting", "%", " left", "\r", "\x1b"})
    EXPECT_THAT(run.err, Not(HasSubstr(shown))) << run.describe();
}

}  // namespace
}  // namespace pgstrata::testing
