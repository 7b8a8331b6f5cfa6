// A libpq connection that never blocks beyond its cancellation, but while the system looks up a host's name.
// Private to this room.
//
// Used by one thread. Waits end with ErrorCode::cancelled once the cancellation is requested, with
// ErrorCode::unavailable when the connection is lost or a command's answer is overdue. Memory is bounded:
// input is read only when libpq holds no whole message, so at most one message and one read of a few tens of
// KiB are buffered.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "base/bytes.h"
#include "base/cancellation.h"
#include "base/result.h"
#include "base/timestamp.h"
#include "pg/wire/connect_options.h"
#include "pg/wire/connection_url.h"

namespace pgstrata {

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultHandle = std::unique_ptr<PGresult, FreeResult>;

struct FreeMemory {
  void operator()(char* memory) const { PQfreemem(memory); }
};

// One message of a COPY, as libpq allocated it.
struct CopyMessage {
  std::unique_ptr<char, FreeMemory> memory;
  std::size_t size_bytes = 0;

  [[nodiscard]] ByteView view() const { return std::as_bytes(std::span(memory.get(), size_bytes)); }
};

enum class CopyStatus { message, nothing_yet, ended };

enum class ConnectionKind { sql, replication };

// When the answer to a command is overdue: after ConnectOptions::answer_limit of silence, or never.
enum class AnswerDue { soon, some_time };

class Connection {
 public:
  static Result<std::unique_ptr<Connection>> connect(const ConnectionUrl& url, const ConnectOptions& options,
                                                     ConnectionKind kind, const Cancellation& cancellation);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] PGconn* handle() const { return connection_.get(); }
  [[nodiscard]] int server_version() const { return PQserverVersion(connection_.get()); }

  // Sends a statement of the simple protocol. `what` is for the message: "start the base backup".
  Result<void> send(const std::string& statement, std::string_view what);
  // The same in the extended protocol, with parameters as text or null.
  Result<void> send_query(const std::string& statement, const std::vector<const char*>& parameters,
                          std::string_view what);
  // The next result, null at the end.
  Result<ResultHandle> next_result(std::string_view what, AnswerDue due = AnswerDue::soon);
  // Reads and drops results up to the end.
  Result<void> skip_results(std::string_view what);
  // One statement with one result, which must have `expected`; all else is an error_from_server.
  Result<ResultHandle> run(const std::string& statement, ExecStatusType expected, std::string_view what);

  // The next COPY message if it is at hand.
  Result<CopyStatus> try_copy(CopyMessage& into, std::string_view what);
  // Waits for it; nothing_yet only when the deadline has passed.
  Result<CopyStatus> wait_copy(CopyMessage& into, std::optional<SteadyTime> deadline, std::string_view what);

  // From now on waits end at `deadline` with ErrorCode::unavailable and take no notice of the cancellation:
  // for a clean end after it.
  void wind_up(SteadyTime deadline) { wind_up_deadline_ = deadline; }
  void end_wind_up() { wind_up_deadline_.reset(); }

  // Sends what the socket takes now; the rest goes while waiting for input.
  Result<void> flush(std::string_view what);

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };

  Connection(const ConnectOptions& options, const Cancellation& cancellation);
  // Error: what connect_failure.h makes of libpq's words.
  Result<void> establish(const ConnectionUrl& url, const ConnectOptions& options, ConnectionKind kind);
  Result<void> poll_until_connected(const ConnectionUrl& url, std::optional<std::chrono::seconds> timeout);
  // False when the deadline has passed.
  Result<bool> wait(short events, std::optional<SteadyTime> deadline, std::string_view what);
  [[nodiscard]] short wanted_events() const;
  // Reads what the socket has and sends what is still to be sent.
  Result<void> pump(std::string_view what);
  static void receive_notice(void* self, const PGresult* notice);

  const Cancellation& cancellation_;
  const NoticeHandler on_notice_;
  const std::chrono::milliseconds answer_limit_;
  std::unique_ptr<PGconn, Finish> connection_;
  std::optional<SteadyTime> wind_up_deadline_;
  bool output_pending_ = false;
};

}  // namespace pgstrata
