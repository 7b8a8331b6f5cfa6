// A source, the repository that protects it and what comes back from there, for tests of the main job.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/timestamp.h"
#include "base/types.h"
#include "support/child_process.h"
#include "support/pgstrata_program.h"
#include "support/port_reservation.h"
#include "support/postgres_server.h"

namespace pgstrata::testing {

using Json = nlohmann::json;

// A server that `restore --start` left running: nobody's child. The destructor ends it (immediate).
class LeftRunningServer {
 public:
  LeftRunningServer(std::filesystem::path data_directory, std::string host, int port, pid_t pid)
      : data_directory_(std::move(data_directory)), host_(std::move(host)), port_(port), pid_(pid) {}
  ~LeftRunningServer();
  LeftRunningServer(const LeftRunningServer&) = delete;
  LeftRunningServer& operator=(const LeftRunningServer&) = delete;

  // Fast; returns when it is gone.
  void stop();
  [[nodiscard]] std::string conninfo(const std::string& db = "postgres") const;
  Rows query(const std::string& sql, const std::string& db = "postgres") const;
  [[nodiscard]] std::string query_value(const std::string& sql, const std::string& db = "postgres") const;
  [[nodiscard]] const std::filesystem::path& data_directory() const { return data_directory_; }
  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] int port() const { return port_; }

 private:
  [[nodiscard]] bool gone() const;

  std::filesystem::path data_directory_;
  std::string host_;
  int port_;
  pid_t pid_;
};

// Connection parameters without a database.
inline std::string server_place(const PostgresServer& server) {
  return fmt::format("host={} port={} user=postgres", server.socket_directory().string(), server.port());
}
inline std::string server_place(const LeftRunningServer& server) {
  return fmt::format("host={} port={} user=postgres", server.host(), server.port());
}

// The program with a repository of its own. What does not go as told throws TestFailure. The cluster is
// called `app`, its role `backup` may do nothing but replicate. Not thread-safe.
class MainJob {
 public:
  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }
  [[nodiscard]] std::filesystem::path repository() const { return path("repository"); }
  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }
  [[nodiscard]] Environment environment() const;
  // From now on, in the place of repository(); the variables go to all that runs, over the usual ones.
  void keep_in(std::string location, Environment variables) {
    location_ = std::move(location);
    variables_ = std::move(variables);
  }

  ProgramRun pgstrata(std::vector<std::string> arguments) const;
  // With --output json; throws when it ends with another exit code.
  Json json_of(std::vector<std::string> arguments, int exit_code = 0) const;

  // init with a key file that it makes, the role, add. An empty URL is the role over TCP.
  void protect(const PostgresServer& source, std::string url = {});
  // Returns once it streams.
  void start_stream(const PostgresServer& source, std::vector<std::string> flags = {});
  void stop_stream();
  void kill9_stream();
  // Everything in the source's WAL so far is in the repository: by the stream that runs, else by one for
  // this.
  std::string wait_until_durable(const PostgresServer& source);
  Json backup(int exit_code = 0) const {
    return json_of({"backup", "app", "--base"}, exit_code).at("snapshot");
  }
  Json snapshots() const { return json_of({"snapshot", "list", "app"}).at("snapshots"); }
  Json coverage() const { return json_of({"status", "app"}).at("clusters").at(0).at("coverage"); }

  // Into path(name); `arguments` are the target and the like.
  Json restore(const std::string& name, std::vector<std::string> arguments) const;
  std::unique_ptr<LeftRunningServer> restore_and_start(const std::string& name,
                                                       std::vector<std::string> arguments) const;

 private:
  TemporaryDirectory directory_;
  std::filesystem::path config_ = directory_.write("config.toml", "log = \"info\"\n");
  std::filesystem::path sockets_ = directory_.make("sockets");
  std::string location_ = repository().string();
  Environment variables_;
  // Not given back before the test ends, so that no two restored servers of it meet.
  mutable std::vector<std::unique_ptr<PortReservation>> ports_;
  std::unique_ptr<BackgroundPgstrata> stream_;
};

class MainJobTest : public ::testing::Test, public MainJob {};

// The server's clock.
[[nodiscard]] std::string server_time(const PostgresServer& server);
// Whatever the database is called.
[[nodiscard]] std::string with_database(const std::string& conninfo_without_db, const std::string& name);
// "database: table rows digest" for all databases but templates; without the table `commit_ledger`. One whose
// DROP had begun is "database: dropped halfway".
[[nodiscard]] std::vector<std::string> digest_of_all(const std::string& conninfo_without_db);
// All databases' B-tree indexes against their tables, and from 14 on the tables themselves, by amcheck.
[[nodiscard]] std::vector<std::string> amcheck_problems(const std::string& conninfo_without_db);

}  // namespace pgstrata::testing
