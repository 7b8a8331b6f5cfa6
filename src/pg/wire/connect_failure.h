// Why a connection could not be made, and what to change on the source. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "pg/wire/connection_url.h"

namespace pgstrata {

struct ConnectFailure {
  // libpq's words with PQERRORS_VERBOSE, which is the only way it tells the SQLSTATE of a failed connection.
  std::string libpq_message;
  std::string user;             // the user that libpq settled on
  bool needs_password = false;  // asked for one and found none
  bool used_ssl = false;
  bool by_socket = false;  // a Unix socket
  bool for_replication = false;
};

[[nodiscard]] Error connect_error(const ConnectFailure& failure, const ConnectionUrl& url);

// Nothing for versions 13 to 18. Error: unsupported.
Result<void> check_server_version(int server_version, const ConnectionUrl& url);

}  // namespace pgstrata
