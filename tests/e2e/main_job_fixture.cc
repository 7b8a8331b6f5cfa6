#include "e2e/main_job_fixture.h"

#include <algorithm>
#include <csignal>

#include "support/sql.h"
#include "support/test_failure.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

// Ours, whoever else receives WAL.
const std::string streams =
    "SELECT count(*) FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid "
    "WHERE slot_name = 'pgstrata_app'";

void require(const ProgramRun& run, int exit_code, const std::vector<std::string>& arguments) {
  if (run.exit_code == exit_code) return;
  throw TestFailure(fmt::format("pgstrata {} did not end with {}: {}", fmt::join(arguments, " "), exit_code,
                                run.describe()));
}

// DROP DATABASE marks a database as invalid in a transaction of its own before it removes the files; where
// that mark was the last that happened, nobody can connect to it (PostgreSQL: database_is_invalid_form).
const std::string is_valid = "datconnlimit <> -2";

std::vector<std::string> databases(const std::string& conninfo_without_db, const std::string& condition) {
  std::vector<std::string> names;
  SqlConnection connection(conninfo_without_db + " dbname=postgres");
  for (const Row& row : connection.run(fmt::format(
           "SELECT datname FROM pg_database WHERE NOT datistemplate AND {} ORDER BY 1", condition)))
    names.push_back(*row[0]);
  return names;
}

}  // namespace

LeftRunningServer::~LeftRunningServer() {
  if (gone()) return;
  kill(pid_, SIGQUIT);
  try {
    wait_until(
        "the restored server's end", [this] { return gone(); }, std::chrono::seconds(20));
  } catch (const TestFailure&) {
    kill(pid_, SIGKILL);
  }
}

bool LeftRunningServer::gone() const {
  const std::string stat = read_text(fmt::format("/proc/{}/stat", pid_));
  const auto name_end = stat.rfind(") ");
  return name_end == std::string::npos || stat[name_end + 2] == 'Z';
}

void LeftRunningServer::stop() {
  kill(pid_, SIGINT);
  wait_until("the restored server's end", [this] { return gone(); });
}

std::string LeftRunningServer::conninfo(const std::string& db) const {
  return with_database(fmt::format("host={} port={} user=postgres", host_, port_), db);
}

Rows LeftRunningServer::query(const std::string& sql, const std::string& db) const {
  return SqlConnection(conninfo(db)).run(sql);
}

std::string LeftRunningServer::query_value(const std::string& sql, const std::string& db) const {
  return SqlConnection(conninfo(db)).value(sql);
}

Environment MainJob::environment() const {
  std::string programs;
  for (const int major : available_majors())
    programs += PostgresBinaries::find(major).directory().string() + ":";
  Environment variables{{"PGSTRATA_REPO", location_},
                        {"PGSTRATA_KEY_FILE", path("key").string()},
                        {"PGSTRATA_CONFIG", config_.string()},
                        {"PGSTRATA_STATE_DIR", path("state").string()},
                        {"PGSTRATA_PG_BINDIR", programs}};
  for (const auto& [name, value] : variables_) variables[name] = value;
  return variables;
}

ProgramRun MainJob::pgstrata(std::vector<std::string> arguments) const {
  return run_pgstrata(std::move(arguments), environment());
}

Json MainJob::json_of(std::vector<std::string> arguments, int exit_code) const {
  arguments.insert(arguments.end(), {"--output", "json"});
  const ProgramRun run = pgstrata(arguments);
  require(run, exit_code, arguments);
  return Json::parse(run.out);
}

void MainJob::protect(const PostgresServer& source, std::string url) {
  json_of({"init"});
  source.query("CREATE ROLE backup LOGIN REPLICATION");
  if (url.empty()) url = source.url("backup");
  json_of({"add", "app", "--url", url});
}

void MainJob::start_stream(const PostgresServer& source, std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"stream", "app"});
  stream_ = std::make_unique<BackgroundPgstrata>(std::move(flags), environment());
  wait_until("the stream", [&] {
    if (!stream_->running()) throw TestFailure("the stream ended: " + stream_->wait().describe());
    return source.query_value(streams + " AND state = 'streaming'") == "1";
  });
}

void MainJob::stop_stream() {
  const ProgramRun run = stream_->terminate();
  stream_.reset();
  require(run, 0, {"stream", "app"});
}

void MainJob::kill9_stream() {
  stream_->kill9();
  stream_.reset();
}

std::string MainJob::wait_until_durable(const PostgresServer& source) {
  // A record of its own behind all others, flushed.
  source.query("SELECT pg_logical_emit_message(true, 'pgstrata_test', 'so far')");
  const std::string lsn = source.query_value("SELECT pg_current_wal_flush_lsn()");
  if (stream_ == nullptr) {
    json_of({"stream", "app", "--until-lsn", lsn});
    return lsn;
  }
  wait_until("WAL up to " + lsn + " to be durable", [&] {
    return source.query_value(fmt::format("{} AND flush_lsn >= '{}'", streams, lsn)) == "1";
  });
  return lsn;
}

Json MainJob::restore(const std::string& name, std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"restore", "app", "--to", path(name).string()});
  return json_of(std::move(arguments));
}

std::unique_ptr<LeftRunningServer> MainJob::restore_and_start(const std::string& name,
                                                              std::vector<std::string> arguments) const {
  const int port = ports_.emplace_back(std::make_unique<PortReservation>())->port();
  arguments.insert(arguments.end(),
                   {"--start", "--set", fmt::format("port={}", port), "--set",
                    "unix_socket_directories=" + sockets_.string(), "--set", "listen_addresses="});
  const Json started = restore(name, std::move(arguments)).at("started");
  return std::make_unique<LeftRunningServer>(path(name), sockets_.string(), port,
                                             started.at("process_id").get<pid_t>());
}

std::string server_time(const PostgresServer& server) {
  return server.query_value(
      "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
}

std::string with_database(const std::string& conninfo_without_db, const std::string& name) {
  std::string quoted;
  for (const char c : name) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return fmt::format("{} dbname='{}'", conninfo_without_db, quoted);
}

std::vector<std::string> digest_of_all(const std::string& conninfo_without_db) {
  std::vector<std::string> lines;
  for (const std::string& name : databases(conninfo_without_db, "NOT " + is_valid))
    lines.push_back(fmt::format("{}: dropped halfway", name));
  for (const std::string& name : databases(conninfo_without_db, is_valid)) {
    SqlConnection connection(with_database(conninfo_without_db, name));
    for (const std::string& line : content_digest(connection)) {
      if (!line.starts_with("public.commit_ledger ")) lines.push_back(fmt::format("{}: {}", name, line));
    }
  }
  return lines;
}

std::vector<std::string> amcheck_problems(const std::string& conninfo_without_db) {
  std::vector<std::string> problems;
  for (const std::string& name : databases(conninfo_without_db, is_valid)) {
    SqlConnection connection(with_database(conninfo_without_db, name));
    connection.run("CREATE EXTENSION IF NOT EXISTS amcheck");
    try {
      connection.run(
          "SELECT bt_index_parent_check(c.oid, heapallindexed => true, rootdescend => true) FROM pg_class c "
          "JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam "
          "WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisvalid");
      if (std::stoi(connection.value("SHOW server_version_num")) < 140000) continue;
      for (const Row& row : connection.run(
               "SELECT c.oid::regclass || ' block ' || v.blkno || ': ' || v.msg FROM pg_class c "
               "JOIN pg_am a ON a.oid = c.relam, LATERAL verify_heapam(c.oid) v "
               "WHERE a.amname = 'heap' AND c.relkind IN ('r', 't', 'm') AND c.relpersistence = 'p'"))
        problems.push_back(fmt::format("{}: {}", name, *row[0]));
    } catch (const SqlError& error) {
      problems.push_back(fmt::format("{}: {}", name, error.what()));
    }
  }
  return problems;
}

}  // namespace pgstrata::testing
