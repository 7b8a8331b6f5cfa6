#include "pg/server/server_instance.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "pg/format/control_file.h"
#include "pg/server/postmaster_pid.h"
#include "pg/server/server_log.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(20);
// sun_path has 108 bytes; "/.s.PGSQL.65535.lock" is added.
constexpr std::size_t longest_socket_directory = 90;

Result<void> check_options(const ServerOptions& options) {
  if (!options.socket_directory) return {};
  if (options.socket_directory->string().size() > longest_socket_directory) {
    return fail(ErrorCode::usage, "the socket folder's path is longer than {} bytes: {}",
                longest_socket_directory, options.socket_directory->string());
  }
  if (!options.socket_directory->is_absolute() ||
      options.socket_directory->string().find(',') != std::string::npos) {
    return fail(ErrorCode::usage, "the socket folder must be an absolute path without a comma: {}",
                options.socket_directory->string());
  }
  return {};
}

// What a server may need of this process's environment; not what would change its settings, and above all no
// passphrase and no password. Its restore_command needs nothing of ours: the kit has it all.
std::vector<std::string> server_environment() {
  return {"PATH", "HOME", "USER",   "LOGNAME",  "LANG",           "LANGUAGE",
          "LC_*", "TZ",   "TMPDIR", "PG_OOM_*", "LD_LIBRARY_PATH"};
}

std::vector<std::string> command_line(const std::filesystem::path& postgres, const ServerOptions& options) {
  std::vector<std::string> arguments = {postgres.string(), "-D", options.data_directory.string()};
  const auto set = [&](std::string_view name, std::string_view value) {
    arguments.emplace_back("-c");
    arguments.push_back(fmt::format("{}={}", name, value));
  };
  // Else a data_directory in the configuration would win over -D.
  set("data_directory", options.data_directory.string());
  // English, whatever the directory's own configuration says, so that the log can be understood.
  set("lc_messages", "C");
  for (const auto& [name, value] : options.settings) set(name, value);
  if (options.port) set("port", std::to_string(*options.port));
  if (options.listen_addresses) set("listen_addresses", *options.listen_addresses);
  if (options.socket_directory) set("unix_socket_directories", options.socket_directory->string());
  return arguments;
}

Result<std::optional<std::string>> user_of(const ServerOptions& options) {
  if (options.user.empty() || ::geteuid() != 0) return user_for_data_directory(options.data_directory);
  PGS_TRY(const auto owner, owner_of_folder(options.data_directory));
  if (owner == options.user) return std::optional(options.user);
  return fail(ErrorCode::permission, "\"{}\" belongs to {}, not to {}: no server is started on it",
              options.data_directory.native(), owner, options.user);
}

// "ready" means open, to reads alone while it recovers; "standby" means recovering and not open. The control
// file says "in production" only once recovery is over, and is true by the time that the server is open.
Result<ServerPhase> phase_of(std::string_view status, const std::filesystem::path& data_directory) {
  if (status == "stopping") return ServerPhase::stopping;
  if (status != "ready") return ServerPhase::starting;
  PGS_TRY(const auto bytes,
          read_regular_file(data_directory / "global" / "pg_control", 2 * control_file_size_bytes));
  const auto control = parse_control_file(bytes);
  // Read while it was being written: the next look will tell.
  if (!control.has_value() && control.error().code() == ErrorCode::damaged) return ServerPhase::accepts_reads;
  if (!control.has_value()) return std::unexpected(control.error());
  return control->state == ClusterState::in_production ? ServerPhase::accepts_writes
                                                       : ServerPhase::accepts_reads;
}

// Nothing when it is certain that no server runs on the directory.
Result<std::optional<PostmasterPid>> running_postmaster(const std::filesystem::path& data_directory) {
  PGS_TRY(auto found, read_postmaster_pid(data_directory));
  if (!found.has_value()) return found;
  const auto sight = look_for_postmaster(found->pid, data_directory);
  if (sight == PostmasterSight::absent) return std::optional<PostmasterPid>();
  if (sight == PostmasterSight::running) return found;
  return std::unexpected(
      make_error(ErrorCode::busy,
                 "\"{}\" names process {}, which is alive, and this user may not see whether that is a "
                 "PostgreSQL server of this directory",
                 (data_directory / "postmaster.pid").string(), found->pid)
          .with_hint("Stop the server, or run this as the user that it runs as. If no server runs there for "
                     "sure, remove postmaster.pid."));
}

Error busy_error(const PostmasterPid& running, const std::filesystem::path& data_directory) {
  return make_error(ErrorCode::busy, "a {} runs on {} already (process {})",
                    running.single_user ? "single-user PostgreSQL" : "server", data_directory.string(),
                    running.pid);
}

bool reached(ServerPhase phase, ServerPhase wanted) {
  if (wanted == ServerPhase::accepts_reads) {
    return phase == ServerPhase::accepts_reads || phase == ServerPhase::accepts_writes;
  }
  return phase == wanted;
}

std::string_view describe(ServerPhase phase) {
  return phase == ServerPhase::accepts_writes ? "accepts writes" : "accepts queries";
}

}  // namespace

ServerInstance::ServerInstance(ServerInstance&&) noexcept = default;

ServerInstance& ServerInstance::operator=(ServerInstance&& other) noexcept {
  if (this == &other) return *this;
  stop_if_owned();
  pid_ = other.pid_;
  child_ = std::exchange(other.child_, std::nullopt);
  data_directory_ = std::move(other.data_directory_);
  log_file_ = std::move(other.log_file_);
  log_start_bytes_ = other.log_start_bytes_;
  return *this;
}

ServerInstance::~ServerInstance() {
  stop_if_owned();
}

// A kill -9 would leave the postmaster's children behind for a moment; SIGQUIT lets it end them.
void ServerInstance::stop_if_owned() noexcept {
  if (!child_.has_value() || child_->pid() == 0) return;
  constexpr auto limit = std::chrono::seconds(10);
  if (child_->signal(SIGQUIT).has_value()) static_cast<void>(child_->wait_for(limit));
  child_.reset();
}

Result<ServerInstance> ServerInstance::start(const ServerInstallation& installation,
                                             const ServerOptions& options) {
  PGS_CHECK(check_options(options));
  PGS_TRY(const int major, major_of_data_directory(options.data_directory));
  if (major != installation.major()) {
    return fail(ErrorCode::usage, "{} is of PostgreSQL {}, not {}", options.data_directory.string(), major,
                installation.major());
  }
  PGS_TRY(const auto running, running_postmaster(options.data_directory));
  if (running.has_value()) return std::unexpected(busy_error(*running, options.data_directory));
  PGS_TRY(const auto postgres, installation.program("postgres"));
  PGS_TRY(const auto user, user_of(options));
  const auto log_before = stat_file(options.log_file);
  const auto log =
      options.opened_log != nullptr ? Redirect::to(*options.opened_log) : Redirect::append(options.log_file);

  ServerInstance instance;
  instance.data_directory_ = options.data_directory;
  instance.log_file_ = options.log_file;
  instance.log_start_bytes_ = log_before.has_value() ? log_before->size_bytes : 0;
  PGS_TRY(auto child, ChildProcess::spawn({.arguments = command_line(postgres, options),
                                           .inherited_environment = server_environment(),
                                           .environment = {},
                                           .user = user,
                                           .working_directory = "/",
                                           .new_session = true,
                                           .input = Redirect::null(),
                                           .output = log,
                                           .errors = Redirect::same_as_output()}));
  instance.pid_ = child.pid();
  instance.child_.emplace(std::move(child));
  return instance;
}

Result<ServerInstance> ServerInstance::attach(const std::filesystem::path& data_directory) {
  PGS_TRY(const auto found, running_postmaster(data_directory));
  if (!found.has_value()) return fail(ErrorCode::not_found, "no server runs on {}", data_directory.string());
  if (found->single_user) return std::unexpected(busy_error(*found, data_directory));
  ServerInstance instance;
  instance.pid_ = found->pid;
  instance.data_directory_ = data_directory;
  return instance;
}

Result<std::optional<ExitStatus>> ServerInstance::ended() {
  if (child_.has_value()) return child_->wait_for(std::chrono::milliseconds(0));
  // Its working directory tells it from another process that was given the same id.
  if (look_for_postmaster(pid_, data_directory_) != PostmasterSight::absent)
    return std::optional<ExitStatus>();
  return std::optional(ExitStatus{});
}

Result<ServerPhase> ServerInstance::phase() {
  PGS_TRY(const auto status, ended());
  if (status.has_value()) return ServerPhase::ended;
  PGS_TRY(const auto found, read_postmaster_pid(data_directory_));
  // What another postmaster left behind says nothing about ours, and ours removes its own when it ends.
  if (!found.has_value() || found->pid != pid_) return ServerPhase::starting;
  return phase_of(found->status, data_directory_);
}

Error ServerInstance::ended_error(const ExitStatus& status, std::string_view wanted) const {
  const std::string words = log_file_.empty() ? "" : last_words_of_file(log_file_, log_start_bytes_);
  const std::string how = child_.has_value() ? status.describe() : "has ended";
  auto error = make_error(ErrorCode::failed, "PostgreSQL on {} {} before it {}{}{}", data_directory_.string(),
                          how, wanted, words.empty() ? "" : ": ", words);
  if (log_file_.empty()) return error;
  return std::move(error).with_hint(fmt::format("Its log is {}.", log_file_.string()));
}

Result<void> ServerInstance::wait_for_phase(ServerPhase wanted, std::chrono::milliseconds limit,
                                            const Cancellation& cancellation) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    PGS_TRY(const auto status, ended());
    if (status.has_value()) return std::unexpected(ended_error(*status, describe(wanted)));
    PGS_TRY(const auto now, phase());
    if (reached(now, wanted)) return {};
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorCode::unavailable,
                  "PostgreSQL on {} did not come to the point where it {} within {} s",
                  data_directory_.string(), describe(wanted),
                  std::chrono::duration_cast<std::chrono::seconds>(limit).count());
    }
    cancellation.wait_for(poll_interval);
    PGS_CHECK(cancellation.check());
  }
}

Result<void> ServerInstance::wait_until_ended(const Cancellation& cancellation) {
  while (true) {
    PGS_TRY(const auto status, ended());
    if (status && status->success()) return {};
    if (status) return std::unexpected(ended_error(*status, "was to end"));
    cancellation.wait_for(poll_interval);
    PGS_CHECK(cancellation.check());
  }
}

Result<void> ServerInstance::send_signal(int number) {
  if (child_.has_value()) return child_->signal(number);
  if (look_for_postmaster(pid_, data_directory_) == PostmasterSight::absent) return {};
  if (::kill(pid_, number) != 0 && errno != ESRCH) {
    return std::unexpected(error_from_errno(errno, fmt::format("could not signal process {}", pid_)));
  }
  return {};
}

Result<void> ServerInstance::stop(StopMode mode, std::chrono::milliseconds limit) {
  PGS_CHECK(send_signal(mode == StopMode::fast ? SIGINT : SIGQUIT));
  const Cancellation never;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    PGS_TRY(const auto status, ended());
    if (status.has_value()) return {};
    if (std::chrono::steady_clock::now() >= deadline) break;
    never.wait_for(poll_interval);
  }
  return std::unexpected(make_error(ErrorCode::failed, "PostgreSQL on {} did not stop within {} s",
                                    data_directory_.string(),
                                    std::chrono::duration_cast<std::chrono::seconds>(limit).count())
                             .with_hint(fmt::format("It still runs as process {}.", pid_)));
}

void ServerInstance::leave_running() {
  if (child_.has_value()) child_->detach();
  child_.reset();
}

Result<ConnectionUrl> ServerInstance::url(std::string_view user, std::string_view database) const {
  PGS_TRY(const auto found, read_postmaster_pid(data_directory_));
  if (!found) return fail(ErrorCode::not_found, "no server runs on {}", data_directory_.string());
  PGS_TRY(const auto empty, ConnectionUrl::parse(fmt::format("port={}", found->port)));
  const std::string host =
      found->socket_directory.empty() ? std::string("localhost") : found->socket_directory;
  return empty.with("host", host).with("user", user).with("dbname", database);
}

}  // namespace pgstrata
