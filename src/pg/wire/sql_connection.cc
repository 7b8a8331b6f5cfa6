#include "pg/wire/sql_connection.h"

#include "pg/wire/connection.h"
#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

SqlResult collect(const PGresult* result) {
  SqlResult collected;
  const int columns = PQnfields(result);
  for (int column = 0; column < columns; ++column) collected.columns.emplace_back(PQfname(result, column));
  for (int row = 0; row < PQntuples(result); ++row) {
    SqlRow& values = collected.rows.emplace_back();
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        values.emplace_back();
      } else {
        values.emplace_back(std::in_place, PQgetvalue(result, row, column),
                            static_cast<std::size_t>(PQgetlength(result, row, column)));
      }
    }
  }
  return collected;
}

}  // namespace

SqlConnection::SqlConnection(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
SqlConnection::SqlConnection(SqlConnection&&) noexcept = default;
SqlConnection& SqlConnection::operator=(SqlConnection&&) noexcept = default;
SqlConnection::~SqlConnection() = default;

Result<SqlConnection> SqlConnection::connect(const ConnectionUrl& url, const ConnectOptions& options,
                                             const Cancellation& cancellation) {
  PGS_TRY(auto connection, Connection::connect(url, options, ConnectionKind::sql, cancellation));
  return SqlConnection(std::move(connection));
}

int SqlConnection::server_version() const {
  return connection_->server_version();
}

Result<SqlResult> SqlConnection::query(std::string_view statement,
                                       const std::vector<std::optional<std::string>>& parameters) {
  constexpr std::string_view what = "query";
  std::vector<const char*> values;
  for (const auto& parameter : parameters)
    values.push_back(parameter.has_value() ? parameter->c_str() : nullptr);
  const std::string terminated(statement);
  PGS_CHECK(connection_->send_query(terminated, values, what));
  PGS_TRY(const auto result, connection_->next_result(what));
  if (result == nullptr) return std::unexpected(connection_lost(connection_->handle(), what));
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    const auto error = server_error(result.get(), connection_->handle());
    static_cast<void>(connection_->skip_results(what));
    return std::unexpected(error_from_server(error, what));
  }
  PGS_CHECK(connection_->skip_results(what));
  return collect(result.get());
}

Result<std::string> SqlConnection::query_value(std::string_view statement,
                                               const std::vector<std::optional<std::string>>& parameters) {
  PGS_TRY(auto result, query(statement, parameters));
  if (result.rows.empty() || result.rows.front().empty() || !result.rows.front().front().has_value()) {
    return fail(ErrorCode::not_found, "query: no value");
  }
  return *std::move(result.rows.front().front());
}

}  // namespace pgstrata
