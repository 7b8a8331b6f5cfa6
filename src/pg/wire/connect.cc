#include <algorithm>
#include <charconv>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <poll.h>

#include "pg/wire/connect_failure.h"
#include "pg/wire/connection.h"
#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

constexpr std::int64_t default_connect_timeout_s = 10;
constexpr std::int64_t longest_connect_timeout_s = 3600;
// The kernel gives an address up a little before we give up the whole, so that libpq goes on to the next.
constexpr std::int64_t user_timeout_ms_per_s = 900;
constexpr std::int64_t longest_user_timeout_ms = 15'000;

// Also the database field that a line of ~/.pgpass must have to match replication connections.
constexpr std::string_view replication_database = "replication";

ConnectionUrl with_liveness_defaults(const ConnectionUrl& url) {
  std::int64_t timeout_s = default_connect_timeout_s;
  if (const auto given = url.get("connect_timeout")) {
    std::from_chars(given->data(), given->data() + given->size(), timeout_s);
  }
  const auto user_timeout_ms =
      timeout_s <= 0 ? longest_user_timeout_ms
                     : std::min(longest_user_timeout_ms,
                                std::min(timeout_s, longest_connect_timeout_s) * user_timeout_ms_per_s);
  return url.with_default("keepalives_idle", "5")
      .with_default("keepalives_interval", "3")
      .with_default("keepalives_count", "3")
      .with_default("tcp_user_timeout", std::to_string(user_timeout_ms));
}

std::vector<std::pair<std::string, std::string>> startup_parameters(const ConnectionUrl& url,
                                                                    const ConnectOptions& options,
                                                                    ConnectionKind kind) {
  auto full = with_liveness_defaults(url).with_default("application_name", options.application_name);
  if (kind == ConnectionKind::sql) full = full.with("client_encoding", "UTF8");
  if (kind == ConnectionKind::replication) full = full.with("replication", "true");
  auto parameters = full.parameters();
  if (kind == ConnectionKind::sql) {
    std::erase_if(parameters, [](const auto& parameter) { return parameter.first == "replication"; });
  }
  return parameters;
}

PGconn* start(const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  return PQconnectStartParams(keywords.data(), values.data(), 0);
}

// The limit for each address, as services and the environment may set it too; nothing for "wait for ever".
std::optional<std::chrono::seconds> connect_timeout(PGconn* connection) {
  std::int64_t timeout_s = default_connect_timeout_s;
  PQconninfoOption* const options = PQconninfo(connection);
  for (const auto* option = options; option != nullptr && option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const std::string_view keyword = option->keyword;
    const std::string_view value = option->val;
    if (keyword == "connect_timeout") std::from_chars(value.begin(), value.end(), timeout_s);
  }
  PQconninfoFree(options);
  if (timeout_s <= 0) return std::nullopt;
  return std::chrono::seconds(std::min(timeout_s, longest_connect_timeout_s));
}

// What libpq is at: it goes through hosts and their addresses by itself, each with a socket of its own.
using Attempt = std::tuple<std::string, std::string, std::string, int>;
Attempt current_attempt(PGconn* connection) {
  const auto text = [](const char* value) { return std::string(value == nullptr ? "" : value); };
  return {text(PQhost(connection)), text(PQport(connection)), text(PQhostaddr(connection)),
          PQsocket(connection)};
}

ConnectFailure describe_failure(PGconn* connection, ConnectionKind kind) {
  const char* user = PQuser(connection);
  const char* host = PQhost(connection);
  return {
      .libpq_message = PQerrorMessage(connection),
      .user = user == nullptr ? "" : user,
      .needs_password = PQconnectionNeedsPassword(connection) != 0,
      .used_ssl = PQsslInUse(connection) != 0,
      .by_socket = host != nullptr && (*host == '/' || *host == '@'),
      .for_replication = kind == ConnectionKind::replication,
  };
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::connect(const ConnectionUrl& url,
                                                        const ConnectOptions& options, ConnectionKind kind,
                                                        const Cancellation& cancellation) {
  const bool replication = kind == ConnectionKind::replication;
  const auto first = replication ? url.with_default("dbname", replication_database) : url;
  std::unique_ptr<Connection> connection(new Connection(options, cancellation));
  auto connected = connection->establish(first, options, kind);
  // The server ignores the database of a replication connection, but the line in ~/.pgpass may name either.
  if (!connected.has_value() && replication && connection->handle() != nullptr &&
      PQconnectionNeedsPassword(connection->handle()) != 0 && first.get("dbname") != replication_database) {
    connected = connection->establish(url.with("dbname", replication_database), options, kind);
  }
  if (!connected.has_value()) return std::unexpected(std::move(connected).error());
  PGS_CHECK(check_server_version(connection->server_version(), url));
  return connection;
}

Result<void> Connection::establish(const ConnectionUrl& url, const ConnectOptions& options,
                                   ConnectionKind kind) {
  connection_.reset(start(startup_parameters(url, options, kind)));
  if (connection_ == nullptr) return fail(ErrorCode::failed, "could not connect: out of memory");
  PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
  PQsetNoticeReceiver(connection_.get(), &Connection::receive_notice, this);
  auto connected = poll_until_connected(url, connect_timeout(connection_.get()));
  if (!connected.has_value()) return connected;
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    return std::unexpected(connect_error(describe_failure(connection_.get(), kind), url));
  }
  PQsetErrorVerbosity(connection_.get(), PQERRORS_DEFAULT);
  if (PQsetnonblocking(connection_.get(), 1) != 0) {
    return std::unexpected(connection_lost(connection_.get(), "could not connect"));
  }
  return {};
}

// Returns when the connection is made or has failed (PQstatus tells). Error: cancelled, or an address's time
// is up.
Result<void> Connection::poll_until_connected(const ConnectionUrl& url,
                                              std::optional<std::chrono::seconds> timeout) {
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return {};
  const std::string what = fmt::format("could not connect to {}", url.describe());
  const auto new_deadline = [&] {
    return timeout ? std::optional(std::chrono::steady_clock::now() + *timeout) : std::nullopt;
  };
  auto deadline = new_deadline();
  auto attempt = current_attempt(connection_.get());
  PostgresPollingStatusType step = PGRES_POLLING_WRITING;
  while (step == PGRES_POLLING_WRITING || step == PGRES_POLLING_READING) {
    const short events = step == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    PGS_TRY(const bool ready, wait(events, deadline, what));
    if (!ready) {
      return std::unexpected(
          make_error(ErrorCode::unavailable, "{}: no answer in time", what)
              .with_hint(
                  "Check that host, port and firewall let this machine reach the server; connect_timeout in "
                  "the URL sets how long to wait."));
    }
    step = PQconnectPoll(connection_.get());
    if (auto now = current_attempt(connection_.get()); now != attempt) {
      attempt = std::move(now);
      deadline = new_deadline();
    }
  }
  return {};
}

}  // namespace pgstrata
