// A protected cluster whose snapshots are rolled, for the tests of that.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <unistd.h>

#include "e2e/main_job_fixture.h"
#include "support/sql.h"

namespace pgstrata::testing {

class RollTest : public MainJobTest {
 protected:
  void SetUp() override {
    if (::access("/dev/fuse", R_OK | W_OK) != 0)
      GTEST_SKIP() << "SKIPPED: this user may not use /dev/fuse; run as root";
  }

  // A rolled snapshot, up to the last checkpoint that is in the repository.
  Json roll(std::vector<std::string> flags = {}) const {
    flags.insert(flags.begin(), {"backup", "app"});
    const Json outcome = json_of(std::move(flags));
    EXPECT_EQ(outcome.at("made"), true);
    EXPECT_EQ(outcome.at("snapshot").at("kind"), "rolled");
    return outcome.at("snapshot");
  }
  // The source's, and its WAL with it.
  void checkpoint(const PostgresServer& source) {
    source.query("CHECKPOINT");
    wait_until_durable(source);
  }
  // As its log says, once a checkpoint's redo position is known.
  static std::size_t checkpoints_begun(const PostgresServer& source) {
    const auto log = source.log_text();
    std::size_t count = 0;
    for (auto at = log.find("checkpoint starting"); at != std::string::npos;
         at = log.find("checkpoint starting", at + 1))
      ++count;
    return count;
  }

  // Nothing of a roll is left on this machine but the lock of who makes one.
  void expect_no_leftovers() const {
    std::vector<std::string> left;
    const auto rolls = path("state") / "rolls" / "branches" / "app";
    if (std::filesystem::exists(rolls)) {
      for (const auto& entry : std::filesystem::directory_iterator(rolls))
        if (entry.path().filename() != ".lock") left.push_back(entry.path());
    }
    EXPECT_THAT(left, ::testing::IsEmpty());
    EXPECT_THAT(read_text("/proc/self/mounts"), ::testing::Not(::testing::HasSubstr(rolls.string())));
    EXPECT_THAT(processes_in(rolls), ::testing::IsEmpty());
  }
  // What works below a folder, or was told of it.
  static std::vector<std::string> processes_in(const std::filesystem::path& folder) {
    std::vector<std::string> found;
    std::error_code ignored;
    for (const auto& process : std::filesystem::directory_iterator("/proc")) {
      if (process.path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
      const auto cwd = std::filesystem::read_symlink(process.path() / "cwd", ignored).string();
      const auto command = read_text(process.path() / "cmdline");
      if (cwd.starts_with(folder.string()) || command.find(folder.string()) != std::string::npos)
        found.push_back(process.path().filename().string() + ": " + command);
    }
    return found;
  }

 private:
  PgstrataAsOurselves as_ourselves_;
};

}  // namespace pgstrata::testing
