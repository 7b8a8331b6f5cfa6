// What a PostgreSQL server says when it refuses, and what it means to us. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include <libpq-fe.h>

#include "base/error.h"

namespace pgstrata {

// The server's words may be in any language; decisions rest on sqlstate and on the source function, which are
// not.
struct ServerError {
  std::string sqlstate;  // empty when it was not the server who spoke
  std::string message;
  std::string detail;
  std::string function;  // of the server's source, e.g. "StartReplication"

  [[nodiscard]] bool is(std::string_view state) const { return sqlstate == state; }
  // The message, and the detail in parentheses.
  [[nodiscard]] std::string describe() const;
};

// Of a result that failed; `connection` supplies the words when the result has none.
[[nodiscard]] ServerError server_error(const PGresult* result, PGconn* connection);

// `WHAT: the server's words`, with the code that the SQLSTATE means and, where there is one, a hint.
[[nodiscard]] Error error_from_server(const ServerError& error, std::string_view what);

// The connection broke: libpq's words.
[[nodiscard]] Error connection_lost(PGconn* connection, std::string_view what);

// libpq's words as one line.
[[nodiscard]] std::string one_line(std::string_view message);

}  // namespace pgstrata
