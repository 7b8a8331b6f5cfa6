// What `pgstrata wal-fetch` leaves running behind it when PostgreSQL asks for one segment.
#include <algorithm>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class WalReadAheadTest : public MainJobTest {
 protected:
  // A restored directory with fifteen small segments to recover, the last a tail.
  WalReadAheadTest() {
    source_.start();
    source_.query("CREATE TABLE t (n int)");
    protect(source_);
    start_stream(source_);
    const Json snapshot = backup();
    for (int row = 0; row < 14; ++row) {
      source_.query(fmt::format("INSERT INTO t VALUES ({})", row));
      source_.query("SELECT pg_switch_wal()");
    }
    const std::string end = wait_until_durable(source_);
    stop_stream();
    constexpr std::uint64_t segment_bytes = 1U << 20;
    const auto first = parse_lsn(snapshot.at("start_lsn").get<std::string>()).value().value / segment_bytes;
    for (Lsn at{first * segment_bytes}; at < parse_lsn(end).value(); at = at + segment_bytes) {
      const auto within = to_string(at + 1);  // PostgreSQL counts a boundary to the segment before
      names_.push_back(source_.query_value(fmt::format("SELECT pg_walfile_name('{}')", within)));
    }
    restore("restored", {"--latest"});
  }
  // Nobody waits for them but this.
  ~WalReadAheadTest() override {
    for (const pid_t pid : running()) kill(pid, SIGKILL);
  }

  [[nodiscard]] std::filesystem::path kit_folder() const { return path("restored") / "pg_wal" / "pgstrata"; }
  [[nodiscard]] bool ready(std::size_t segment) const {
    return std::filesystem::exists(kit_folder() / "spool" / names_.at(segment));
  }
  [[nodiscard]] std::filesystem::path destination() const {
    return path("restored") / "pg_wal" / "RECOVERYXLOG";
  }
  void fetch(std::size_t segment) const {
    const ProgramRun run = pgstrata(
        {"wal-fetch", "--kit", (kit_folder() / "kit").string(), names_.at(segment), destination().string()});
    ASSERT_EQ(run.exit_code, 0) << run.describe();
  }
  void expect_as_on_the_source(const std::filesystem::path& file, std::size_t segment) const {
    const ProgramRun run = run_program(
        {"/usr/bin/cmp", file.string(), (source_.data_directory() / "pg_wal" / names_.at(segment)).string()});
    EXPECT_EQ(run.exit_code, 0) << run.describe();
  }
  // The processes that work with this kit.
  [[nodiscard]] std::vector<pid_t> running() const {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (!std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
      const std::string command = read_text(entry.path() / "cmdline");
      if (command.find((kit_folder() / "kit").string()) != std::string::npos)
        found.push_back(std::stoi(name));
    }
    return found;
  }
  void wait_for_its_end() const {
    wait_until(
        "the end of read-ahead", [&] { return running().empty(); }, std::chrono::seconds(30));
  }

  PostgresServer source_{{.wal_segment_mib = 1, .settings = {"wal_keep_size = 100MB"}}};
  std::vector<std::string> names_;
};

TEST_F(WalReadAheadTest, OneSegmentAskedForMakesTheNextOnesReadyUntilThereIsNoNeed) {
  constexpr std::size_t ahead = 8;
  ASSERT_GT(names_.size(), ahead + 4);
  EXPECT_THAT(running(), IsEmpty());
  fetch(0);
  expect_as_on_the_source(destination(), 0);
  wait_until("the eighth segment after it to be ready", [&] { return ready(ahead); });
  for (std::size_t segment = 1; segment <= ahead; ++segment) EXPECT_TRUE(ready(segment)) << segment;
  EXPECT_FALSE(ready(ahead + 1));
  expect_as_on_the_source(kit_folder() / "spool" / names_.at(5), 5);

  // One process, that holds nothing of the server's.
  const auto processes = running();
  ASSERT_THAT(processes, SizeIs(1));
  for (const int stream : {0, 1, 2}) {
    EXPECT_EQ(std::filesystem::read_symlink(fmt::format("/proc/{}/fd/{}", processes[0], stream)),
              "/dev/null");
  }
  // It follows, and others leave the work to it.
  fetch(1);
  EXPECT_FALSE(ready(1)) << "handed on, not copied";
  wait_until("the next segment to be ready", [&] { return ready(ahead + 1); });
  wait_until("one process to be left", [&] { return running() == processes; });

  // It ends by itself once recovery has all it needs.
  for (std::size_t segment = 2; segment < names_.size(); ++segment) fetch(segment);
  wait_for_its_end();

  // Also when the kit goes before that.
  fetch(0);
  wait_until("a segment to be ready", [&] { return ready(1); });
  ASSERT_THAT(running(), SizeIs(1));
  std::filesystem::remove_all(kit_folder());
  wait_for_its_end();
}

}  // namespace
}  // namespace pgstrata::testing
