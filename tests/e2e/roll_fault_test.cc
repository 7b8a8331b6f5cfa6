// What can go wrong while a snapshot is rolled: nothing is visible after it, and the next roll takes away what was
// left.
#include <csignal>
#include <fstream>
#include <random>

#include "e2e/roll_test.h"
#include "e2e/small_disk.h"
#include "support/test_seed.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

class RollFaultTest : public RollTest {
 protected:
  void SetUp() override {
    RollTest::SetUp();
    if (IsSkipped()) return;
    source_.start();
    protect(source_);
    source_.query("CREATE TABLE t AS SELECT n, md5(n::text) AS x FROM generate_series(1, 40000) n");
    start_stream(source_);
    backup();
    // Full pages at first, and then for a while none.
    source_.query("UPDATE t SET x = md5(x)");
    source_.query("UPDATE t SET x = md5(x)");
    source_.query("SELECT pg_switch_wal()");
    source_.query("UPDATE t SET x = md5(x)");
    checkpoint(source_);
    stop_stream();
  }

  [[nodiscard]] std::unique_ptr<BackgroundPgstrata> start_roll() const {
    return std::make_unique<BackgroundPgstrata>(std::vector<std::string>{"backup", "app"}, environment());
  }
  // The branch of a roll at work; nothing before there is one.
  [[nodiscard]] fs::path hidden() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(path("state") / "rolls" / "branches" / "app", none))
      if (entry.is_directory(none)) return entry.path();
    return {};
  }
  // Its log, while it is there.
  [[nodiscard]] std::string server_log() const {
    return hidden().empty() ? "" : read_text(hidden() / "postgres.log");
  }
  bool wait_for_recovery(BackgroundPgstrata& program) const {
    wait_until("recovery to begin", [&] {
      return server_log().find("redo starts at") != std::string::npos || !program.running();
    });
    return program.running();
  }
  [[nodiscard]] static std::uintmax_t bytes_in(const fs::path& folder) {
    std::uintmax_t bytes = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator at(folder, error), end; at != end; at.increment(error)) {
      const auto size = at->file_size(error);
      if (!error) bytes += size;
    }
    return bytes;
  }
  // 0 when it cannot be read.
  [[nodiscard]] static pid_t pid_in(const fs::path& file) {
    return static_cast<pid_t>(std::atoi(read_text(file).c_str()));
  }
  [[nodiscard]] pid_t mount_process() const {
    for (const auto& found : processes_in(hidden())) {
      if (found.find("mount-branch") != std::string::npos) return std::atoi(found.c_str());
    }
    return 0;
  }
  void expect_nothing_visible(std::size_t snapshots_before) const {
    EXPECT_EQ(snapshots().size(), snapshots_before);
    const ProgramRun run = pgstrata({"verify"});
    EXPECT_EQ(run.exit_code, 0) << run.describe();
  }
  void expect_clear(const ProgramRun& run, int exit_code, const std::string& what) const {
    EXPECT_EQ(run.exit_code, exit_code) << run.describe();
    EXPECT_THAT(run.err, HasSubstr("pgstrata: error: "));
    EXPECT_THAT(run.err, HasSubstr(what)) << run.describe();
    for (const auto* inside : {".cc:", "terminate called", "std::", "assertion"})
      EXPECT_THAT(run.err, ::testing::Not(HasSubstr(inside))) << run.describe();
  }
  void expect_next_roll_is_whole() const {
    roll();
    expect_no_leftovers();
    json_of({"verify", "--read-all"});
    const auto copy = restore_and_start("restored", {"--latest"});
    EXPECT_EQ(copy->query_value("SELECT md5(string_agg(x, '' ORDER BY n)) FROM t"),
              source_.query_value("SELECT md5(string_agg(x, '' ORDER BY n)) FROM t"));
  }

  PostgresServer source_{
      {.settings = {"max_wal_size = 10GB", "checkpoint_timeout = 1h", "autovacuum = off"}}};
};

TEST_F(RollFaultTest, KilledAtRandomMoments) {
  const auto seed = test_seed();
  std::mt19937_64 random(seed);
  enum class Victim { program, mount, server, program_and_mount };
  const std::string names[] = {"program", "mount", "server", "program and mount"};
  auto before = snapshots().size();
  int killed = 0;
  for (int round = 0; round < 4; ++round) {
    const auto victim = static_cast<Victim>(round % 4);
    const auto mark = random() % 12'000'000;
    SCOPED_TRACE(fmt::format("seed {}, round {}, {} at {} bytes of overlay", seed, round,
                             names[static_cast<int>(victim)], mark));
    const auto program = start_roll();
    wait_for_recovery(*program);
    wait_until("the overlay to grow", [&] {
      return bytes_in(hidden() / "overlay") >= mark || !program->running() ||
             server_log().find("shutting down") != std::string::npos;
    });
    const auto mount = mount_process();
    const auto server = pid_in(hidden() / "fs" / "data" / "postmaster.pid");
    if (victim == Victim::program || victim == Victim::program_and_mount) program->kill9();
    if (victim == Victim::mount || victim == Victim::program_and_mount) {
      if (mount > 0) ::kill(mount, SIGKILL);
    }
    if (victim == Victim::server && server > 0) ::kill(server, SIGKILL);
    const auto ended = program->wait();
    if (ended.exit_code == 0) {  // it was through
      source_.query("UPDATE t SET x = md5(x)");
      checkpoint(source_);
      before = snapshots().size();
      continue;
    }
    ++killed;
    if (victim == Victim::mount || victim == Victim::server) {
      expect_clear(ended, 1, "");
      expect_no_leftovers();
    }
    expect_nothing_visible(before);
  }
  EXPECT_GE(killed, 2);
  expect_next_roll_is_whole();
}

TEST_F(RollFaultTest, StopsWhenItIsTold) {
  const auto before = snapshots().size();
  for (const int signal_number : {SIGTERM, SIGINT}) {
    SCOPED_TRACE(signal_number);
    const auto program = start_roll();
    ASSERT_TRUE(wait_for_recovery(*program));
    const auto begun = std::chrono::steady_clock::now();
    program->send_signal(signal_number);
    const auto ended = program->wait();
    fmt::print("stopped {} ms after signal {}\n",
               std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun).count(),
               signal_number);
    EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(3));
    expect_clear(ended, 1, "stopped on request; no snapshot was made");
    expect_no_leftovers();
    expect_nothing_visible(before);
  }
  expect_next_roll_is_whole();
}

TEST_F(RollFaultTest, ASecondOneIsToldWhoIsAtWork) {
  const auto program = start_roll();
  ASSERT_TRUE(wait_for_recovery(*program));
  ::kill(program->pid(), SIGSTOP);
  expect_clear(pgstrata({"backup", "app"}), 7,
               fmt::format("backup of app is held by process {} on host ", program->pid()));
  ::kill(program->pid(), SIGCONT);
  const auto ended = program->wait();
  EXPECT_EQ(ended.exit_code, 0) << ended.describe();
  expect_no_leftovers();
}

TEST_F(RollFaultTest, TheStateFoldersDiskIsFull) {
  const auto before = snapshots().size();
  {
    const SmallDisk small(directory().make("state"), 6);
    NEEDS_DISK(&small);
    const ProgramRun full = pgstrata({"backup", "app"});
    expect_clear(full, 1, "No space left on device");
    expect_nothing_visible(before);
    expect_no_leftovers();
    small.resize(400);
    expect_next_roll_is_whole();
  }
}

TEST_F(RollFaultTest, DamagedWalOnTheWay) {
  const auto before = snapshots().size();
  // Not the one in which replay begins, nor the newest.
  std::vector<fs::path> sealed;
  for (const auto& entry : fs::directory_iterator(repository() / "clusters" / "app" / "wal" / "00000001"))
    if (entry.is_regular_file()) sealed.push_back(entry.path());
  std::ranges::sort(sealed);
  ASSERT_GE(sealed.size(), 3U);
  const auto damaged = sealed.at(sealed.size() - 2);
  const auto content = read_text(damaged);
  {
    std::fstream file(damaged, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(content.size() / 2));
    file.put(static_cast<char>(content[content.size() / 2] ^ 0x10));
  }
  const ProgramRun run = pgstrata({"backup", "app"});
  EXPECT_THAT(run.exit_code, ::testing::AnyOf(1, 5)) << run.describe();
  EXPECT_THAT(run.err, HasSubstr(damaged.filename().string())) << run.describe();
  EXPECT_EQ(snapshots().size(), before);
  expect_no_leftovers();
  std::ofstream(damaged, std::ios::binary) << content;
  expect_next_roll_is_whole();
}

}  // namespace
}  // namespace pgstrata::testing
