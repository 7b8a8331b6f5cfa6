// A PostgreSQL server that runs on a data directory.
//
// The postmaster leads a session of its own and has no terminal and no pipe to this process, so that it can
// outlive it. A ServerInstance belongs to one thread; dropping it stops the server at once (immediate),
// unless it was left running or merely attached to.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "base/cancellation.h"
#include "base/result.h"
#include "pg/server/server_installation.h"
#include "pg/wire/connection_url.h"
#include "sys/process.h"

namespace pgstrata {

struct ServerOptions {
  std::filesystem::path data_directory;
  // As whom root starts it; empty: as the directory's owner. Where others may have put another directory in
  // its place: it must be a folder of this user's, and no link.
  std::string user = {};
  std::filesystem::path log_file;  // appended to; made when missing, with mode 0600 and this process's user
  // log_file, opened for appending by the caller: where its folder is somebody else's and its path is not to
  // be trusted. Borrowed until start returns.
  const FileDescriptor* opened_log = nullptr;
  // Where it can be reached; what is not given is as the directory's own configuration has it.
  std::optional<std::filesystem::path>
      socket_directory;               // must exist, writable for the server's user; at most 90 bytes
  std::optional<std::uint16_t> port;  // also the number in the socket's name
  std::optional<std::string> listen_addresses;  // empty: no TCP at all
  // Name and value, as with `postgres -c`: they win over every configuration file. Not for what is named
  // above.
  std::vector<std::pair<std::string, std::string>> settings;
};

enum class ServerPhase {
  starting,       // recovering, not yet open
  accepts_reads,  // recovering, open for queries (hot standby)
  accepts_writes,
  stopping,
  ended,
};

enum class StopMode {
  fast,       // ends connections, writes a checkpoint
  immediate,  // as a crash: recovery at the next start
};

class ServerInstance {
 public:
  // Starts the postmaster and returns; wait_for_phase tells when it is open. It runs as
  // user_for_data_directory says, with little of this process's environment: PATH, HOME, the locale, the time
  // zone and the like. Errors: usage (bad options), permission, not_found, busy (a server runs
  // there already), failed.
  [[nodiscard]] static Result<ServerInstance> start(const ServerInstallation& installation,
                                                    const ServerOptions& options);
  // A server that was started before, by anyone. Dropping this object leaves it running.
  // Errors: not_found, when none runs there; busy, when that cannot be told (postmaster.pid names a process
  // that is alive and may not be looked at), or what runs there is a single-user backend.
  [[nodiscard]] static Result<ServerInstance> attach(const std::filesystem::path& data_directory);

  ServerInstance(ServerInstance&&) noexcept;
  ServerInstance& operator=(ServerInstance&&) noexcept;
  ~ServerInstance();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::filesystem::path& data_directory() const { return data_directory_; }

  // By the process, postmaster.pid and pg_control; no connection is made.
  Result<ServerPhase> phase();

  // Returns once the server accepts reads (or more), or writes. `accepts_writes` is reached after recovery
  // ends, that is never by a standby or a recovery that pauses. Errors: failed, with the last words of its
  // log, when it ends instead; unavailable after `limit`; cancelled. The server goes on after the last two.
  Result<void> wait_for_phase(ServerPhase wanted, std::chrono::milliseconds limit,
                              const Cancellation& cancellation);

  // Returns once it has ended by itself, in good order. Errors: failed, with the last words of its log, when it
  // ended otherwise; cancelled, and the server goes on.
  Result<void> wait_until_ended(const Cancellation& cancellation);

  // Returns when the postmaster is gone; one that has ended already is no error. Error: failed after `limit`,
  // and the server may still be stopping.
  Result<void> stop(StopMode mode, std::chrono::milliseconds limit);
  // It goes on after this object and this process.
  void leave_running();

  // Over its Unix socket, or TCP when it has none. Once it is open.
  [[nodiscard]] Result<ConnectionUrl> url(std::string_view user, std::string_view database) const;

 private:
  ServerInstance() = default;
  // Nothing while it runs.
  Result<std::optional<ExitStatus>> ended();
  Result<void> send_signal(int number);
  [[nodiscard]] Error ended_error(const ExitStatus& status, std::string_view wanted) const;
  void stop_if_owned() noexcept;

  pid_t pid_ = 0;
  std::optional<ChildProcess> child_;  // nothing when attached or left running
  std::filesystem::path data_directory_;
  std::filesystem::path log_file_;  // empty when attached
  std::uint64_t log_start_bytes_ = 0;
};

}  // namespace pgstrata
