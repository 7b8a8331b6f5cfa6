#include "support/postgres_server.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <map>
#include <random>
#include <span>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "base/bytes.h"
#include "codec/digest.h"
#include "support/test_failure.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

constexpr auto stop_limit = std::chrono::minutes(2);

int major_of(const std::filesystem::path& data_directory) {
  const std::string text = read_text(data_directory / "PG_VERSION");
  if (text.empty()) throw TestFailure(fmt::format("no PG_VERSION in {}", data_directory.string()));
  return std::stoi(text);
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::istringstream text(read_text(fmt::format("/proc/{0}/task/{0}/children", pid)));
  for (pid_t child = 0; text >> child;) children.push_back(child);
  return children;
}

// Gone, or ended and waiting for a parent to notice.
bool has_ended(pid_t pid) {
  const std::string stat = read_text(fmt::format("/proc/{}/stat", pid));
  const auto name_end = stat.rfind(") ");
  return name_end == std::string::npos || stat[name_end + 2] == 'Z';
}

void run_or_throw(const std::vector<std::string>& arguments) {
  const ProgramRun run = run_program(arguments);
  if (run.exit_code != 0) throw TestFailure(run.describe());
}

// What initdb makes with these arguments, made once in this process: it takes longer than most of what tests
// do with it. To be copied and not changed.
std::filesystem::path initialized_cluster(const std::vector<std::string>& initdb) {
  static const TemporaryDirectory home;
  static std::map<std::vector<std::string>, std::filesystem::path> clusters;
  std::filesystem::path& cluster = clusters[initdb];
  if (cluster.empty()) {
    const auto folder = home.path() / std::to_string(clusters.size());
    std::vector<std::string> arguments = initdb;
    arguments.push_back("--pgdata=" + folder.string());
    run_or_throw(arguments);
    cluster = folder;
  }
  return cluster;
}

void overwrite(const std::filesystem::path& file, std::size_t offset, std::string_view bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush()) throw TestFailure("cannot change " + file.string());
}

// Copies are clusters of their own: pg_control and the first page of each WAL segment say which one they are
// of (PostgreSQL: ControlFileData.system_identifier, XLogLongPageHeaderData.xlp_sysid).
void give_identity_of_its_own(const std::filesystem::path& data_directory, int major) {
  static std::random_device random;
  constexpr std::size_t wal_identity_offset = 24;
  const std::size_t crc_offset = major < 18 ? 288 : 292;
  const std::array<std::uint32_t, 2> identity{random(), random() >> 1U};
  const auto as_text_of = [](const auto& value) { return as_text(std::as_bytes(std::span(&value, 1))); };

  for (const auto& entry : std::filesystem::directory_iterator(data_directory / "pg_wal")) {
    if (entry.is_regular_file()) overwrite(entry.path(), wal_identity_offset, as_text_of(identity));
  }
  const auto control = data_directory / "global" / "pg_control";
  overwrite(control, 0, as_text_of(identity));
  const std::uint32_t crc =
      crc32c_finish(crc32c_extend(crc32c_begin, as_byte_view(read_text(control)).first(crc_offset)));
  overwrite(control, crc_offset, as_text_of(crc));
}

}  // namespace

PostgresServer::PostgresServer(ServerOptions options)
    : binaries_(PostgresBinaries::find(options.major)),
      data_directory_(home_.path() / "data"),
      environment_(options.environment),
      adopted_(false) {
  initialize(options);
}

PostgresServer::PostgresServer(const std::filesystem::path& data_directory, std::vector<std::string> settings)
    : binaries_(PostgresBinaries::find(major_of(data_directory))),
      data_directory_(data_directory),
      command_line_settings_(std::move(settings)),
      adopted_(true) {}

PostgresServer PostgresServer::adopt(const std::filesystem::path& data_directory,
                                     std::vector<std::string> settings) {
  return PostgresServer(data_directory, std::move(settings));
}

PostgresServer::~PostgresServer() {
  if (!running()) return;
  postmaster_->send_signal(SIGQUIT);
  try {
    postmaster_->wait(std::chrono::seconds(10));
  } catch (const TestFailure&) {  // its own destructor kills it
  }
}

void PostgresServer::initialize(const ServerOptions& options) {
  std::vector<std::string> arguments{binaries_.program("initdb"),
                                     "--username=postgres",
                                     "--auth=trust",
                                     "--locale=C",
                                     "--encoding=UTF8",
                                     "--no-sync",
                                     fmt::format("--wal-segsize={}", options.wal_segment_mib)};
  if (options.checksums) {
    arguments.emplace_back("--data-checksums");
  } else if (options.major >= 18) {
    arguments.emplace_back("--no-data-checksums");
  }
  arguments.insert(arguments.end(), options.initdb_arguments.begin(), options.initdb_arguments.end());
  run_or_throw({"/bin/cp", "--archive", "--sparse=always", initialized_cluster(arguments).string(),
                data_directory_.string()});
  give_identity_of_its_own(data_directory_, options.major);
  configure({"fsync = off", "dynamic_shared_memory_type = mmap", "shared_buffers = 64MB",
             "max_connections = 50", "track_commit_timestamp = on", "timezone = 'UTC'",
             "log_timezone = 'UTC'", "log_line_prefix = '%m [%p] '"});
  configure(options.settings);
  if (options.other_address.empty()) return;
  listen_addresses_ += "," + options.other_address;
  std::ofstream hba(data_directory_ / "pg_hba.conf", std::ios::app);
  hba << "host all all all trust\nhost replication all all trust\n";
}

std::vector<std::string> PostgresServer::command() const {
  std::vector<std::string> result{binaries_.program("postgres"), "-D", data_directory_.string()};
  const auto set = [&result](std::string setting) {
    result.emplace_back("-c");
    result.push_back(std::move(setting));
  };
  set(fmt::format("port={}", port_.port()));
  set("listen_addresses=" + listen_addresses_);
  set("unix_socket_directories=" + home_.path().string());
  // A Debian cluster's data directory has neither.
  if (adopted_ && !std::filesystem::exists(data_directory_ / "postgresql.conf")) {
    set("config_file=" + (home_.path() / "postgresql.conf").string());
  }
  if (adopted_ && !std::filesystem::exists(data_directory_ / "pg_hba.conf")) {
    set("hba_file=" + (home_.path() / "pg_hba.conf").string());
  }
  for (const auto& setting : command_line_settings_) set(setting);
  return result;
}

void PostgresServer::start(std::chrono::milliseconds limit) {
  if (!try_start(limit)) throw TestFailure("PostgreSQL ended while starting; its log ends:\n" + log_tail());
}

bool PostgresServer::try_start(std::chrono::milliseconds limit) {
  if (running()) throw TestFailure("the server runs already");
  if (adopted_ && !std::filesystem::exists(home_.path() / "pg_hba.conf")) {
    (void)home_.write("postgresql.conf", "");
    (void)home_.write("pg_hba.conf", "local all all trust\nhost all all 127.0.0.1/32 trust\n");
  }
  const auto log = home_.path() / "log";
  postmaster_ = std::make_unique<ChildProcess>(ChildCommand{.arguments = command(),
                                                            .environment = environment_,
                                                            .output = log,
                                                            .errors = log,
                                                            .signal_when_orphaned = SIGQUIT});
  bool ready = false;
  const auto settled = [&] {
    if (!postmaster_->running()) return true;
    ready = PQping(conninfo().c_str()) == PQPING_OK;
    return ready;
  };
  try {
    wait_until("PostgreSQL to accept connections", settled, limit);
  } catch (const TestFailure& failure) {
    throw TestFailure(fmt::format("{}; its log ends:\n{}", failure.what(), log_tail()));
  }
  return ready;
}

void PostgresServer::stop(StopMode mode) {
  if (!running()) throw TestFailure("the server does not run; its log ends:\n" + log_tail());
  const int signal_number = mode == StopMode::smart ? SIGTERM : mode == StopMode::fast ? SIGINT : SIGQUIT;
  postmaster_->send_signal(signal_number);
  postmaster_->wait(stop_limit);
}

void PostgresServer::restart() {
  stop();
  start();
}

void PostgresServer::kill9() {
  if (!running()) throw TestFailure("the server does not run; its log ends:\n" + log_tail());
  // Stopped first, so that it starts no more processes while they are listed.
  postmaster_->send_signal(SIGSTOP);
  const auto children = children_of(postmaster_->pid());
  postmaster_->send_signal(SIGKILL);
  for (const pid_t child : children) kill(child, SIGKILL);
  postmaster_->wait(stop_limit);
  wait_until("the killed server's processes to end",
             [&] { return std::ranges::all_of(children, has_ended); });
}

void PostgresServer::restart_promoted() {
  configure({"restore_command = '/bin/false'"});
  if (running()) stop();
  (void)std::ofstream(data_directory_ / "standby.signal");
  start();
  promote();
  wait_until("the promotion", [this] { return query_value("SELECT pg_is_in_recovery()") == "f"; });
}

void PostgresServer::promote() {
  const ProgramRun run =
      run_program({binaries_.program("pg_ctl"), "promote", "--wait", "-D", data_directory_.string()});
  if (run.exit_code != 0) throw TestFailure("promote failed: " + run.describe() + "\n" + log_tail());
}

bool PostgresServer::running() {
  return postmaster_ != nullptr && postmaster_->running();
}

void PostgresServer::configure(const std::vector<std::string>& settings) {
  if (adopted_) throw TestFailure("an adopted data directory is not changed");
  std::ofstream file(data_directory_ / "postgresql.conf", std::ios::app);
  for (const auto& setting : settings) file << setting << '\n';
  if (!file.flush()) throw TestFailure("could not write postgresql.conf");
}

void PostgresServer::reload() {
  postmaster_->send_signal(SIGHUP);
}

std::string PostgresServer::conninfo(const std::string& user, const std::string& db) const {
  return fmt::format("host={} port={} user={} dbname={}", home_.path().string(), port_.port(), user, db);
}

std::string PostgresServer::url(const std::string& user, const std::string& db) const {
  return url_at("127.0.0.1", user, db);
}

std::string PostgresServer::url_at(const std::string& address, const std::string& user,
                                   const std::string& db) const {
  return fmt::format("postgresql://{}@{}:{}/{}", user, address, port_.port(), db);
}

Rows PostgresServer::query(const std::string& sql, const std::string& db) const {
  return SqlConnection(conninfo("postgres", db)).run(sql);
}

std::string PostgresServer::query_value(const std::string& sql, const std::string& db) const {
  if (db != "postgres" || !sql.starts_with("SELECT"))
    return SqlConnection(conninfo("postgres", db)).value(sql);
  if (questions_ == nullptr || !questions_->usable()) {
    questions_.reset();
    questions_ = std::make_unique<SqlConnection>(conninfo());
  }
  return questions_->value(sql);
}

std::string PostgresServer::log_text() const {
  return read_text(home_.path() / "log");
}

std::string PostgresServer::log_tail() const {
  const std::string text = log_text();
  return text.size() > 4000 ? text.substr(text.size() - 4000) : text;
}

}  // namespace pgstrata::testing
