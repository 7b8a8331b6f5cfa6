// A real PostgreSQL server for one test.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/child_process.h"
#include "support/port_reservation.h"
#include "support/postgres_binaries.h"
#include "support/sql.h"

namespace pgstrata::testing {

struct ServerOptions {
  int major = 15;
  bool checksums = true;
  int wal_segment_mib = 16;
  // Lines of postgresql.conf, "name = value"; the last one of a name holds.
  std::vector<std::string> settings{};
  std::vector<std::string> initdb_arguments{};
  Environment environment{};  // of the server
  // Of this machine, beside 127.0.0.1; whoever reaches the server there is trusted.
  std::string other_address{};
};

enum class StopMode { smart, fast, immediate };

// A cluster in a temporary directory of its own, made by the constructor (a copy, with an identity of its
// own, of what initdb made once in this process) and not started; or, from adopt(), a server over a data
// directory that something else made, such as a restore. Listens on 127.0.0.1 and on a Unix socket, both its
// own. Local users are trusted, also for replication; the superuser is `postgres`. fsync is off: tests kill
// processes, not machines. Shared memory is in files of its own, which go with it. track_commit_timestamp is
// on. The destructor stops it (immediate) and removes the directory. All failures throw TestFailure with the
// end of the server's log. Not thread-safe, but for conninfo() and url(); start it from a thread that
// outlives it.
class PostgresServer {
 public:
  explicit PostgresServer(ServerOptions options = {});

  // `settings` go on the command line; the directory stays as it is and is not removed. Its major is read
  // from it.
  [[nodiscard]] static PostgresServer adopt(const std::filesystem::path& data_directory,
                                            std::vector<std::string> settings = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // Returns when connections are accepted.
  void start(std::chrono::milliseconds limit = std::chrono::seconds(120));
  // The same, but false when the server ends by itself before that, as a failing recovery does.
  [[nodiscard]] bool try_start(std::chrono::milliseconds limit = std::chrono::seconds(120));
  void stop(StopMode mode = StopMode::fast);
  void restart();
  // Kills the postmaster and all its processes at once, as a crash would, and returns when they are gone.
  void kill9();
  void promote();
  // Stops it, if it runs, and lets it come up on a new timeline, as after a failover; returns when it takes
  // writes. Not for adopted servers.
  void restart_promoted();
  [[nodiscard]] bool running();

  // Appends to postgresql.conf; takes effect at the next start() or reload(). Not for adopted servers.
  void configure(const std::vector<std::string>& settings);
  void reload();

  // Over the Unix socket.
  [[nodiscard]] std::string conninfo(const std::string& user = "postgres",
                                     const std::string& db = "postgres") const;
  // Over TCP: "postgresql://postgres@127.0.0.1:25432/postgres".
  [[nodiscard]] std::string url(const std::string& user = "postgres",
                                const std::string& db = "postgres") const;
  // The same, to another address where it listens.
  [[nodiscard]] std::string url_at(const std::string& address, const std::string& user,
                                   const std::string& db = "postgres") const;

  // In a connection of its own.
  Rows query(const std::string& sql, const std::string& db = "postgres") const;
  // A SELECT in the database `postgres` goes over a connection that is kept: to make one takes twenty times as
  // long as to ask, and some are asked again and again.
  [[nodiscard]] std::string query_value(const std::string& sql, const std::string& db = "postgres") const;

  [[nodiscard]] std::string log_text() const;
  [[nodiscard]] int major() const { return binaries_.major(); }
  [[nodiscard]] int port() const { return port_.port(); }
  [[nodiscard]] const PostgresBinaries& binaries() const { return binaries_; }
  [[nodiscard]] const std::filesystem::path& data_directory() const { return data_directory_; }
  [[nodiscard]] const std::filesystem::path& socket_directory() const { return home_.path(); }

 private:
  PostgresServer(const std::filesystem::path& data_directory, std::vector<std::string> settings);
  void initialize(const ServerOptions& options);
  [[nodiscard]] std::vector<std::string> command() const;
  [[nodiscard]] std::string log_tail() const;

  TemporaryDirectory home_;
  PortReservation port_;
  PostgresBinaries binaries_;
  std::filesystem::path data_directory_;
  Environment environment_;
  std::string listen_addresses_ = "127.0.0.1";
  std::vector<std::string> command_line_settings_;
  bool adopted_;
  std::unique_ptr<ChildProcess> postmaster_;
  mutable std::unique_ptr<SqlConnection> questions_;
};

}  // namespace pgstrata::testing
