#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

std::string field(const PGresult* result, int code) {
  const char* value = PQresultErrorField(result, code);
  return value == nullptr ? std::string() : std::string(value);
}

ErrorCode code_for(const ServerError& error) {
  const std::string_view state = error.sqlstate;
  if (state.empty() || state.starts_with("08") || state.starts_with("57P")) return ErrorCode::unavailable;
  if (state.starts_with("28") || state == "42501") return ErrorCode::permission;
  if (state.starts_with("53")) return ErrorCode::unavailable;
  if (state == "42704" || state == "3D000" || state == "42P01" || state == "42883")
    return ErrorCode::not_found;
  if (state == "42710") return ErrorCode::already_exists;
  if (state == "55006") return ErrorCode::busy;
  if (state == "42602") return ErrorCode::usage;
  if (state == "0A000") return ErrorCode::unsupported;
  if (state == "55000" && error.message.find("wal_level") != std::string::npos) return ErrorCode::unsupported;
  return ErrorCode::failed;
}

// Names of settings are the same in every language.
std::string hint_for(const ServerError& error) {
  const auto names = [&](std::string_view word) {
    return error.message.find(word) != std::string::npos || error.detail.find(word) != std::string::npos;
  };
  if (error.is("55000") && names("wal_level")) {
    return "Set wal_level = replica in the server's postgresql.conf and restart the server.";
  }
  if (error.is("53400") || (error.is("55000") && names("max_replication_slots"))) {
    return "Drop an unused replication slot (see pg_replication_slots) or raise max_replication_slots and "
           "restart "
           "the server.";
  }
  if (error.is("42501")) return "Give the role the REPLICATION attribute: ALTER ROLE name REPLICATION;";
  return {};
}

}  // namespace

std::string ServerError::describe() const {
  return detail.empty() ? message : fmt::format("{} ({})", message, one_line(detail));
}

ServerError server_error(const PGresult* result, PGconn* connection) {
  ServerError error{
      .sqlstate = field(result, PG_DIAG_SQLSTATE),
      .message = field(result, PG_DIAG_MESSAGE_PRIMARY),
      .detail = field(result, PG_DIAG_MESSAGE_DETAIL),
      .function = field(result, PG_DIAG_SOURCE_FUNCTION),
  };
  if (error.message.empty()) error.message = one_line(PQresultErrorMessage(result));
  if (error.message.empty()) error.message = one_line(PQerrorMessage(connection));
  if (error.message.empty()) error.message = "unexpected answer";
  return error;
}

Error error_from_server(const ServerError& error, std::string_view what) {
  return make_error(code_for(error), "{}: {}", what, error.describe()).with_hint(hint_for(error));
}

Error connection_lost(PGconn* connection, std::string_view what) {
  std::string why = one_line(PQerrorMessage(connection));
  if (why.empty()) why = "the connection is closed";
  return make_error(ErrorCode::unavailable, "{}: {}", what, why);
}

std::string one_line(std::string_view message) {
  std::string line;
  for (const char c : message) {
    if (c == '\n' || c == '\t' || c == ' ') {
      if (!line.empty() && line.back() != ' ') line += ' ';
    } else {
      line += c;
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace pgstrata
