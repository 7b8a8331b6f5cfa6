// A protected cluster for the tests that break things, and what every failure has to look like.
#pragma once

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <unistd.h>

#include "e2e/cli_test.h"
#include "support/wait_until.h"

namespace pgstrata::testing {

class FaultTest : public CliTest {
 protected:
  using Json = nlohmann::json;

  // A server that runs, a repository, the server registered as "app".
  void protect(PostgresServer& server) {
    server.start();
    init();
    const ProgramRun added = pgstrata({"add", "app", "--url", server.url()});
    ASSERT_EQ(added.exit_code, 0) << added.describe();
  }

  ProgramRun ok(std::vector<std::string> arguments) const {
    ProgramRun run = pgstrata(std::move(arguments));
    EXPECT_EQ(run.exit_code, 0) << run.describe();
    return run;
  }
  Json json_of(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--output", "json"});
    return Json::parse(ok(std::move(arguments)).out);
  }
  Json status() const { return json_of({"status", "app"}).at("clusters").at(0); }
  std::size_t snapshots() const { return json_of({"snapshot", "list", "app"}).at("snapshots").size(); }

  // Everything the server has written so far is durable with whoever streams.
  static void wait_flushed(const PostgresServer& server) {
    const auto end = server.query_value("SELECT pg_current_wal_flush_lsn()");
    wait_until("WAL up to " + end + " to be durable", [&] {
      return server.query_value("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '" + end +
                                "'") != "0";
    });
  }
  void wait_for_lease(const std::string& work) const {
    wait_until("the lease of " + work, [&] { return !status().at(work).is_null(); });
  }

  // Halts it, at a moment when it does not hold the folder's lock, which others would wait for.
  void halt(pid_t process) const {
    wait_until("it to stand still without the lock", [&] {
      ::kill(process, SIGSTOP);
      wait_until("it to stand still", [&] {
        const std::string stat = read_text(fmt::format("/proc/{}/stat", process));
        return stat.find(") T ") != std::string::npos;
      });
      const int lock = ::open((repository() / ".lock").c_str(), O_RDONLY | O_CLOEXEC);
      const bool free = lock < 0 || ::flock(lock, LOCK_EX | LOCK_NB) == 0;
      if (lock >= 0) ::close(lock);
      if (!free) ::kill(process, SIGCONT);
      return free;
    });
  }

  // The exit code; what failed, and what to do about it; nothing of the program's insides.
  static void expect_clear(const ProgramRun& run, int exit_code, const std::string& what) {
    EXPECT_EQ(run.exit_code, exit_code) << run.describe();
    EXPECT_THAT(run.err, ::testing::HasSubstr("pgstrata: error: "));
    EXPECT_THAT(run.err, ::testing::HasSubstr(what)) << run.describe();
    EXPECT_THAT(run.err, ::testing::HasSubstr("hint: ")) << run.describe();
    for (const auto* inside : {".cc:", "terminate called", "std::", "assertion"})
      EXPECT_THAT(run.err, ::testing::Not(::testing::HasSubstr(inside))) << run.describe();
  }

  // A server answers queries while it still recovers.
  static void start_and_recover(PostgresServer& server) {
    server.start();
    wait_until("recovery to end", [&] { return server.query_value("SELECT pg_is_in_recovery()") == "f"; });
  }

  // Restores the latest moment to a new directory and starts a server on it.
  std::unique_ptr<PostgresServer> restored(const std::vector<std::string>& target = {"--latest"},
                                           const std::string& name = "restored") const {
    std::vector<std::string> arguments{"restore", "app", "--to", path(name).string()};
    arguments.insert(arguments.end(), target.begin(), target.end());
    const ProgramRun run = pgstrata(std::move(arguments));
    if (run.exit_code != 0) throw TestFailure(run.describe());
    std::unique_ptr<PostgresServer> server(new PostgresServer(PostgresServer::adopt(path(name))));
    start_and_recover(*server);
    return server;
  }

  // Names of the repository's objects that hold `part`, sorted.
  std::vector<std::string> objects(const std::string& part) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(repository())) {
      const auto name = entry.path().lexically_relative(repository()).string();
      if (entry.is_regular_file() && name.find(part) != std::string::npos) names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
  }
};

}  // namespace pgstrata::testing
