#include "pg/wire/connect_failure.h"

#include <array>
#include <regex>

#include <arpa/inet.h>

#include "pg/wire/replication_connection.h"
#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

// The severity is in the server's language, the SQLSTATE after it is not: "FATAL:  28P01: password …".
const std::regex& sqlstate_pattern() {
  static const std::regex pattern(R"(:  ([0-9A-Z]{5}): )");
  return pattern;
}

// Several addresses or a retry without TLS give several paragraphs; the first server's answer decides.
ServerError parse_verbose(const std::string& message) {
  ServerError error;
  std::smatch found;
  if (!std::regex_search(message, found, sqlstate_pattern())) {
    error.message = one_line(message);
    return error;
  }
  error.sqlstate = found[1];
  std::string rest = found.suffix();
  const auto location = rest.find("\nLOCATION:  ");
  if (location != std::string::npos) {
    const auto name_begin = location + std::string_view("\nLOCATION:  ").size();
    error.function = rest.substr(name_begin, rest.find(',', name_begin) - name_begin);
    rest.resize(location);
  }
  error.message = one_line(rest);
  return error;
}

// The client's address as the server saw it: the first quoted address of the message, in CIDR form.
std::string address_seen(const std::string& message) {
  static const std::regex pattern(R"(([0-9]{1,3}(\.[0-9]{1,3}){3})|([0-9a-fA-F]*:[0-9a-fA-F:]+))");
  for (std::sregex_iterator at(message.begin(), message.end(), pattern), end; at != end; ++at) {
    const std::string candidate = at->str();
    std::array<unsigned char, 16> binary{};
    if (::inet_pton(AF_INET, candidate.c_str(), binary.data()) == 1) return candidate + "/32";
    if (::inet_pton(AF_INET6, candidate.c_str(), binary.data()) == 1) return candidate + "/128";
  }
  return "CLIENT-ADDRESS/32";
}

std::string pg_hba_line(const ConnectFailure& failure, const ConnectionUrl& url, const std::string& message) {
  const std::string database = failure.for_replication ? "replication" : url.get("dbname").value_or("all");
  if (failure.by_socket) return fmt::format("local  {}  {}  peer", database, failure.user);
  return fmt::format("{}  {}  {}  {}  scram-sha-256", failure.used_ssl ? "hostssl" : "host", database,
                     failure.user, address_seen(message));
}

struct Verdict {
  ErrorCode code;
  std::string hint;
};

Verdict judge_access(const ServerError& error, const ConnectFailure& failure, const ConnectionUrl& url) {
  if (error.is("42501")) {
    return {ErrorCode::permission,
            fmt::format("On the source, as a superuser: ALTER ROLE \"{}\" REPLICATION;", failure.user)};
  }
  // pg_hba.conf is named in every language.
  if (error.is("28000") && error.message.find("pg_hba.conf") != std::string::npos) {
    return {ErrorCode::permission,
            fmt::format("Add this line to the server's pg_hba.conf, above any that rejects, then run SELECT "
                        "pg_reload_conf():  {}",
                        pg_hba_line(failure, url, error.message))};
  }
  if (error.is("28P01")) {
    return {ErrorCode::permission, "Correct the password in ~/.pgpass (mode 0600), PGPASSWORD or the URL."};
  }
  return {ErrorCode::permission, "Check the user name, and what pg_hba.conf on the server asks of it."};
}

Verdict judge_server(const ServerError& error, const ConnectFailure& failure, const ConnectionUrl& url) {
  if (error.sqlstate.starts_with("28") || error.is("42501")) return judge_access(error, failure, url);
  if (error.is("53300")) {
    if (error.message.find("max_wal_senders") != std::string::npos) {
      const bool none_allowed = error.message.find(" 0)") != std::string::npos;
      return {none_allowed ? ErrorCode::unsupported : ErrorCode::unavailable,
              "Raise max_wal_senders on the server (pgstrata takes two at most for each cluster) and restart "
              "it, or "
              "stop a standby or backup that takes one (see pg_stat_replication)."};
    }
    return {ErrorCode::unavailable, "Raise max_connections on the server, or close idle connections."};
  }
  if (error.message.find("unsupported startup parameter") != std::string::npos) {
    return {ErrorCode::unsupported,
            "This is a connection pooler, which does not pass replication on. Give the URL of the server "
            "itself."};
  }
  if (error.sqlstate.starts_with("57P")) {
    return {ErrorCode::unavailable, "The server is starting, stopping or recovering: try again in a moment."};
  }
  if (error.is("3D000")) return {ErrorCode::not_found, "Name an existing database in the URL (dbname)."};
  return {ErrorCode::failed, {}};
}

Verdict judge_network(const ServerError& error, const ConnectFailure& failure) {
  if (failure.needs_password) {
    return {ErrorCode::permission,
            fmt::format(
                "Put the password of user {} into ~/.pgpass (mode 0600; the database field must match, or be "
                "*), or into PGPASSWORD.",
                failure.user)};
  }
  const auto says = [&](std::string_view words) { return error.message.find(words) != std::string::npos; };
  if (says("expected authentication request") || says("invalid response to SSL negotiation")) {
    return {ErrorCode::unsupported, "What answers there is not PostgreSQL: check host and port."};
  }
  if (says("server does not support SSL") || says("certificate") || says("sslmode")) {
    return {ErrorCode::failed, "Check sslmode, sslrootcert and the server's TLS settings."};
  }
  if (says("definition of service")) {
    return {ErrorCode::not_found,
            "Define the service in ~/.pg_service.conf or the file that PGSERVICEFILE names."};
  }
  return {ErrorCode::unavailable,
          "Check that the server runs, and that host, port and firewall let this machine reach it "
          "(listen_addresses on the server)."};
}

}  // namespace

Error connect_error(const ConnectFailure& failure, const ConnectionUrl& url) {
  const ServerError error = parse_verbose(failure.libpq_message);
  const Verdict verdict =
      error.sqlstate.empty() ? judge_network(error, failure) : judge_server(error, failure, url);
  return make_error(verdict.code, "could not connect to {}: {}", url.describe(), error.message)
      .with_hint(verdict.hint);
}

Result<void> check_server_version(int server_version, const ConnectionUrl& url) {
  const int major = server_version / 10000;
  if (major >= oldest_supported_major && major <= newest_supported_major) return {};
  const std::string found =
      major >= 10 ? std::to_string(major) : fmt::format("{}.{}", major, server_version / 100 % 100);
  return std::unexpected(make_error(ErrorCode::unsupported, "{} runs PostgreSQL {}", url.describe(), found)
                             .with_hint(fmt::format("This pgstrata supports PostgreSQL {} to {}.",
                                                    oldest_supported_major, newest_supported_major)));
}

}  // namespace pgstrata
