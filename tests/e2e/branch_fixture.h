// A source under protection and branches of it, for tests of branches.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "e2e/main_job_fixture.h"
#include "support/commit_ledger.h"

namespace pgstrata::testing {

// Where a branch is, and what runs for it.
class TestedBranch {
 public:
  TestedBranch(std::filesystem::path home, Json created)
      : home_(std::move(home)), created_(std::move(created)) {}

  // Over its socket; without a database. Needs to be asked anew after a start: the port may be another.
  [[nodiscard]] std::string place() const;
  [[nodiscard]] std::string conninfo(const std::string& db = "postgres") const {
    return with_database(place(), db);
  }
  Rows query(const std::string& sql, const std::string& db = "postgres") const {
    return SqlConnection(conninfo(db)).run(sql);
  }
  [[nodiscard]] std::string value(const std::string& sql, const std::string& db = "postgres") const {
    return SqlConnection(conninfo(db)).value(sql);
  }
  [[nodiscard]] const Json& created() const { return created_; }
  [[nodiscard]] const std::filesystem::path& home() const { return home_; }
  [[nodiscard]] std::filesystem::path data() const { return home_ / "fs/data"; }
  [[nodiscard]] int port() const { return created_.at("port").get<int>(); }

  [[nodiscard]] pid_t mount_process() const { return process_in("mount.pid"); }
  [[nodiscard]] pid_t postmaster() const { return process_in("server.pid"); }
  // Returns when they are gone.
  void kill9_mount_process() const;
  void kill9_postmaster() const;
  // Takes the mount away from under whatever uses it, as a reboot does.
  void detach_mount() const;

 private:
  [[nodiscard]] pid_t process_in(const char* file) const;

  std::filesystem::path home_;
  Json created_;
};

class BranchTest : public MainJobTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] std::filesystem::path home_of(const std::string& name) const {
    return path("state") / "branches/app" / name;
  }
  // `arguments` are the target and the like.
  TestedBranch branch(const std::string& name, std::vector<std::string> arguments = {}) const;
  // `branch VERB app NAME ARGUMENTS...`
  Json branch_json(const std::string& verb, const std::string& name,
                   std::vector<std::string> arguments = {}) const;
  TestedBranch moved(const std::string& verb, const std::string& name,
                     std::vector<std::string> arguments = {}) const {
    return {home_of(name), branch_json(verb, name, std::move(arguments))};
  }
  ProgramRun run_branch(const std::string& verb, std::vector<std::string> arguments) const;
  [[nodiscard]] Json listed() const { return json_of({"branch", "list", "app"}).at("branches"); }
  [[nodiscard]] std::string state_of(const std::string& name) const;

  // Names, sizes and content of the repository's files, but for the leases and holds.
  [[nodiscard]] std::vector<std::string> repository_digest() const;
};

// Of a source with one table, t.
class BranchedRowsTest : public BranchTest {
 protected:
  inline static const std::string count = "SELECT count(*) FROM t";

  void protect_rows(int rows = 1000) {
    source_.start();
    protect(source_);
    source_.query(fmt::format("CREATE TABLE t AS SELECT n FROM generate_series(1, {}) n", rows));
    backup();
  }
  // More rows, and how far the WAL is then.
  std::string add_rows(int rows) {
    source_.query(fmt::format("INSERT INTO t SELECT n FROM generate_series(1, {}) n", rows));
    return wait_until_durable(source_);
  }

  PostgresServer source_;
};

}  // namespace pgstrata::testing
