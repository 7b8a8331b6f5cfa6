#include "branch/compute.h"

#include <csignal>
#include <set>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "branch/compute_questions.h"
#include "branch/compute_settings.h"
#include "branch/left_server.h"
#include "branch/mount_process.h"
#include "branch/server_user.h"
#include "codec/endian.h"
#include "codec/secret.h"
#include "pg/format/control_file.h"
#include "restore/recovery_settings.h"
#include "restore/start_restored.h"
#include "restore/target_directory.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr auto open_poll_interval = std::chrono::milliseconds(5);
constexpr auto promote_again_after = std::chrono::milliseconds(50);
constexpr auto standstill_limit = std::chrono::minutes(2);
constexpr auto failed_server_stop_limit = std::chrono::seconds(60);
constexpr std::uint16_t first_port = 5500;
constexpr std::uint16_t last_port = 9499;
constexpr unsigned port_count = last_port - first_port + 1;

Result<std::set<std::uint16_t>> ports_of_branches(const std::filesystem::path& state_directory) {
  std::set<std::uint16_t> ports;
  const auto clusters = list_directory(state_directory / "branches");
  if (!clusters && clusters.error().code() == ErrorCode::not_found) return ports;
  if (!clusters) return std::unexpected(clusters.error());
  for (const auto& cluster : *clusters) {
    PGS_TRY(const auto names, branch_names(state_directory, cluster.name));
    for (const auto& name : names) {
      const auto record = get_branch_record(BranchHome(state_directory, cluster.name, name));
      if (record) ports.insert(record->port);
    }
  }
  return ports;
}

// The branch has not to be told twice, but a server that has just been started may not listen yet.
class Promotion {
 public:
  Promotion(const BranchHome& home, const BranchRecord& record)
      : record_(record), trigger_(home.data() / "promote") {}

  Result<void> ask(pid_t postmaster) {
    const auto now = std::chrono::steady_clock::now();
    if (asked_ && now - *asked_ < promote_again_after) return {};
    // A server that starts removes what it finds, and one that has taken note as well.
    PGS_CHECK(as_server_user(record_, [this] { return write_file(trigger_, {}); }));
    asked_ = now;
    if (::kill(postmaster, SIGUSR1) != 0 && errno != ESRCH)
      return std::unexpected(error_from_errno(errno, "tell the branch's server to open"));
    return {};
  }
  // For the one that was not needed any more.
  void take_back() const {
    if (asked_) static_cast<void>(as_server_user(record_, [this] { return remove_file(trigger_); }));
  }

 private:
  const BranchRecord& record_;
  std::filesystem::path trigger_;
  std::optional<std::chrono::steady_clock::time_point> asked_;
};

Error not_waited(ErrorCode why, const BranchHome& home) {
  return make_error(why, "{}",
                    why == ErrorCode::cancelled ? "stopped waiting on request" : "the time to wait is over")
      .with_hint(fmt::format("Its log is {}.", home.server_log().native()));
}

Error with_advice(Error error) {
  auto advice = advice_for(error.describe());
  if (advice.empty()) return error;
  if (!error.hint().empty()) advice += " " + error.hint();
  return std::move(error).with_hint(std::move(advice));
}

Result<void> wait_until_open(ServerInstance& server, const BranchHome& home, const BranchRecord& record,
                             bool promote, ServerPhase wanted, const ComputeOptions& options,
                             const Cancellation& cancellation) {
  const auto deadline = std::chrono::steady_clock::now() + options.limit;
  Promotion promotion(home, record);
  while (true) {
    auto waited = server.wait_for_phase(wanted, std::chrono::milliseconds(0), cancellation);
    if (waited) {
      promotion.take_back();
      return {};
    }
    const auto code = waited.error().code();
    if (code == ErrorCode::unavailable && std::chrono::steady_clock::now() < deadline) {
      PGS_TRY(const auto begun, file_exists(home.data() / "postmaster.pid"));
      if (promote && begun) PGS_CHECK(promotion.ask(server.pid()));
      cancellation.wait_for(open_poll_interval);
      continue;
    }
    if (code != ErrorCode::unavailable && code != ErrorCode::cancelled)
      return std::unexpected(with_advice(std::move(waited).error()));
    return std::unexpected(not_waited(code, home));
  }
}

// Open long before it has replayed all that it is to show. A standby that cannot read on waits for ever.
Result<void> wait_until_replayed(const BranchHome& home, const BranchRecord& record,
                                 const ComputeOptions& options, const Cancellation& cancellation) {
  auto known = record;
  PGS_TRY(auto connection, connect_to_compute(home, known, cancellation));
  const auto deadline = std::chrono::steady_clock::now() + options.limit;
  auto moved = std::chrono::steady_clock::now();
  Lsn reached;
  while (true) {
    PGS_TRY(const auto now_at, replayed_to(connection));
    const auto now = std::chrono::steady_clock::now();
    // Where a page begins, what is left to replay is no more than its header.
    if (now_at + wal_long_page_header_size_bytes >= record.end_lsn) return {};
    if (now_at != reached) moved = now;
    reached = now_at;
    if (now - moved > standstill_limit) {
      return std::unexpected(
          make_error(ErrorCode::outside_coverage, "recovery stays at {}, before {}", reached, record.end_lsn)
              .with_hint(fmt::format("WAL on the way may be damaged: {} names it, and so does `pgstrata "
                                     "verify`.",
                                     home.mount_log().native())));
    }
    if (now >= deadline) return fail(ErrorCode::unavailable, "the time to wait is over, at {}", reached);
    cancellation.wait_for(open_poll_interval);
    PGS_CHECK(cancellation.check());
  }
}

Result<void> wait_at_moment(ServerInstance& server, const BranchHome& home, const BranchRecord& record,
                            const ComputeOptions& options, const Cancellation& cancellation) {
  PGS_CHECK(wait_until_open(server, home, record, false, ServerPhase::accepts_reads, options, cancellation));
  return wait_until_replayed(home, record, options, cancellation);
}

// Where recovery ended is in the history that the promotion wrote.
Result<void> check_end(ServerInstance& server, const BranchHome& home, const BranchRecord& record) {
  const auto start = newest_timeline_start(home.data());
  if (start && start->start <= record.end_lsn &&
      record.end_lsn - start->start <= wal_long_page_header_size_bytes) {
    return {};
  }
  PGS_CHECK(server.stop(StopMode::immediate, failed_server_stop_limit));
  const auto reached = start ? to_string(start->start) : start.error().describe();
  return std::unexpected(
      make_error(ErrorCode::outside_coverage, "recovery ended at {}, not at {}", reached, record.end_lsn)
          .with_hint(fmt::format("WAL on the way may be damaged: {} names it, and so does `pgstrata verify`.",
                                 home.mount_log().native())));
}

// The end of a mount process begins with its connection to the kernel, whose cache may give answers for a while.
bool says_nobody_serves(const Error& error) {
  return error.error_number() == ENOTCONN || error.error_number() == ECONNABORTED;
}

// Its data directory says which one it is; that it was started for the branch is noted elsewhere.
Result<ServerInstance> attach(const BranchHome& home) {
  auto server = ServerInstance::attach(home.data());
  if (!server && says_nobody_serves(server.error()))
    return fail(ErrorCode::not_found, "nobody serves the branch's files");
  if (!server || is_noted_server(home, server->pid())) return server;
  return fail(ErrorCode::not_found, "process {} is not the branch's server", server->pid());
}

}  // namespace

Result<void> write_compute_configuration(const BranchHome& home, const BranchRecord& record,
                                         const ControlFile& control) {
  const auto write = [&](const char* name, const std::string& content) -> Result<void> {
    PGS_CHECK(write_file(home.path() / name, as_byte_view(content), 0644));
    // Whatever the umask: the server's user reads them.
    if (::chmod((home.path() / name).c_str(), 0644) != 0)
      return std::unexpected(error_from_errno(errno, fmt::format("set the mode of {}", name)));
    return {};
  };
  PGS_CHECK(write("postgresql.conf",
                  fmt::format("# Of branch {} of {}: the cluster's own configuration is not in its data "
                              "directory. The source's limits.\n{}",
                              record.name, record.cluster, source_limits(control))));
  PGS_CHECK(write("pg_hba.conf",
                  "# The socket is in a folder that only the server's user and root can enter.\n"
                  "local all all trust\n"
                  "# The source's roles and passwords (md5 takes scram-sha-256 passwords as well).\n"
                  "host all all all md5\n"));
  return write("pg_ident.conf", "");
}

bool is_port_free(std::uint16_t port) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Result<std::uint16_t> choose_port(const std::filesystem::path& state_directory) {
  PGS_TRY(const auto taken, ports_of_branches(state_directory));
  // From anywhere: who asks at the same moment for a branch of another state folder is told another one.
  const auto random = random_bytes(2);
  const unsigned begin = load_little<std::uint16_t>(random.data());
  for (unsigned step = 0; step < port_count; ++step) {
    const auto port = static_cast<std::uint16_t>(first_port + (begin + step) % port_count);
    if (!taken.contains(port) && is_port_free(port)) return port;
  }
  return fail(ErrorCode::failed, "no port from {} to {} is free", first_port, last_port);
}

Result<void> recover_compute(const BranchHome& home, const BranchRecord& record,
                             const ServerInstallation& installation, const ComputeOptions& options,
                             const Cancellation& cancellation) {
  PGS_CHECK(as_server_user(record, [&] { return write_file(home.data() / "standby.signal", {}); }));
  PGS_TRY(const auto server_options, compute_options(home, record, installation, true));
  PGS_TRY(auto server, ServerInstance::start(installation, server_options));
  PGS_CHECK(note_server_process(home, server.pid()));
  if (record.read_only) {
    PGS_CHECK(wait_at_moment(server, home, record, options, cancellation));
  } else {
    PGS_CHECK(
        wait_until_open(server, home, record, true, ServerPhase::accepts_writes, options, cancellation));
    PGS_CHECK(check_end(server, home, record));
  }
  server.leave_running();
  return {};
}

Result<void> start_compute(const BranchHome& home, const BranchRecord& record,
                           const ServerInstallation& installation, const ComputeOptions& options,
                           const Cancellation& cancellation) {
  PGS_TRY(const auto server_options, compute_options(home, record, installation, record.read_only));
  PGS_TRY(auto server, ServerInstance::start(installation, server_options));
  PGS_CHECK(note_server_process(home, server.pid()));
  const auto open = record.read_only ? wait_at_moment(server, home, record, options, cancellation)
                                     : wait_until_open(server, home, record, false,
                                                       ServerPhase::accepts_writes, options, cancellation);
  if (open) {
    server.leave_running();
    return {};
  }
  const auto code = open.error().code();
  if (code != ErrorCode::unavailable && code != ErrorCode::cancelled) return open;
  server.leave_running();
  return std::unexpected(
      make_error(code, "{}; the branch's server goes on as process {}", open.error().message(), server.pid())
          .with_hint(open.error().hint()));
}

Result<void> stop_compute(const BranchHome& home, StopMode mode, std::chrono::milliseconds limit) {
  auto server = attach(home);
  if (!server && server.error().code() == ErrorCode::not_found) return {};
  if (!server) return std::unexpected(std::move(server).error());
  auto stopped = server->stop(mode, limit);
  if (!stopped && says_nobody_serves(stopped.error())) return {};  // what is left of it is ended otherwise
  return stopped;
}

Result<bool> opened_as_planned(const BranchHome& home, const BranchRecord& record) {
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (!mounted) return false;
  PGS_TRY(const auto state, compute_state(home));
  if (state != ComputeState::writes) return false;
  PGS_TRY(auto server, attach(home));
  PGS_CHECK(check_end(server, home, record));
  return true;
}

Result<ComputeState> compute_state(const BranchHome& home) {
  auto server = attach(home);
  if (!server && server.error().code() == ErrorCode::not_found) return ComputeState::stopped;
  if (!server) return std::unexpected(std::move(server).error());
  const auto phase = server->phase();
  if (!phase && says_nobody_serves(phase.error())) return ComputeState::stopped;
  PGS_CHECK(phase);
  switch (*phase) {
    case ServerPhase::accepts_writes:
      return ComputeState::writes;
    case ServerPhase::accepts_reads:
      return ComputeState::reads;
    case ServerPhase::stopping:
      return ComputeState::stopping;
    case ServerPhase::ended:
      return ComputeState::stopped;
    case ServerPhase::starting:
      return ComputeState::recovering;
  }
  return ComputeState::recovering;
}

Result<ComputeState> settled_compute_state(const BranchHome& home, const ComputeOptions& options,
                                           const Cancellation& cancellation) {
  const auto deadline = std::chrono::steady_clock::now() + options.limit;
  while (true) {
    PGS_TRY(const auto state, compute_state(home));
    if (state != ComputeState::recovering && state != ComputeState::stopping) return state;
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorCode::unavailable, "the time to wait is over, and the branch's server still {}",
                  state == ComputeState::stopping ? "stops" : "recovers");
    }
    cancellation.wait_for(open_poll_interval);
    PGS_CHECK(cancellation.check());
  }
}

}  // namespace pgstrata
