// The program with a repository of its own, for tests of the command line.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/child_process.h"
#include "support/pgstrata_program.h"
#include "support/postgres_server.h"

namespace pgstrata::testing {

class CliTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path repository() const { return directory_.path() / "repository"; }
  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }
  [[nodiscard]] Environment environment() const {
    Environment variables{{"PGSTRATA_REPO", repository().string()}, {"PGSTRATA_CONFIG", config_.string()}};
    if (encrypted_) variables["PGSTRATA_KEY_FILE"] = path("key").string();
    return variables;
  }

  ProgramRun pgstrata(std::vector<std::string> arguments) const {
    return run_pgstrata(std::move(arguments), environment());
  }
  [[nodiscard]] std::unique_ptr<BackgroundPgstrata> start_pgstrata(std::vector<std::string> arguments) const {
    return std::make_unique<BackgroundPgstrata>(std::move(arguments), environment());
  }

  void init() {
    encrypted_ = true;
    const ProgramRun run = pgstrata({"init"});
    ASSERT_EQ(run.exit_code, 0) << run.describe();
  }
  // Without encryption: whatever is written can be looked for.
  void init_plain() {
    encrypted_ = false;
    const ProgramRun run = pgstrata({"init", "--no-encryption"});
    ASSERT_EQ(run.exit_code, 0) << run.describe();
  }
  // Before it is started: passwords over TCP.
  static void require_passwords(const PostgresServer& server);

 private:
  TemporaryDirectory directory_;
  std::filesystem::path config_ = directory_.write("config.toml", "log = \"info\"\n");
  bool encrypted_ = true;
};

}  // namespace pgstrata::testing
