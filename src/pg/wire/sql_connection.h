// An ordinary SQL connection, for the few questions pgstrata asks a live server.
//
// One thread at a time. The cancellation is borrowed and must outlive the connection: every wait ends with
// ErrorCode::cancelled once it is requested, after which the connection is of no further use.
// Connecting is as for ReplicationConnection (replication_connection.h), errors included.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancellation.h"
#include "base/result.h"
#include "pg/wire/connect_options.h"
#include "pg/wire/connection_url.h"

namespace pgstrata {

class Connection;

// All values as text; nothing for NULL.
using SqlRow = std::vector<std::optional<std::string>>;

struct SqlResult {
  std::vector<std::string> columns;
  std::vector<SqlRow> rows;
};

class SqlConnection {
 public:
  [[nodiscard]] static Result<SqlConnection> connect(const ConnectionUrl& url, const ConnectOptions& options,
                                                     const Cancellation& cancellation);
  SqlConnection(SqlConnection&&) noexcept;
  SqlConnection& operator=(SqlConnection&&) noexcept;
  ~SqlConnection();

  // 150018 for 15.18.
  [[nodiscard]] int server_version() const;

  // One statement, parameters as text for $1, $2 …. Errors by SQLSTATE: permission, not_found, unavailable
  // (the connection is lost), failed.
  Result<SqlResult> query(std::string_view statement,
                          const std::vector<std::optional<std::string>>& parameters = {});
  // The one value of one row. Error: not_found when there is no row or the value is NULL.
  Result<std::string> query_value(std::string_view statement,
                                  const std::vector<std::optional<std::string>>& parameters = {});

 private:
  explicit SqlConnection(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace pgstrata
