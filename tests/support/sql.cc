#include "support/sql.h"

#include <fmt/format.h>
#include <poll.h>

namespace pgstrata::testing {
namespace {

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Answer = std::unique_ptr<PGresult, Clear>;

[[noreturn]] void fail(PGconn* connection, const PGresult* result, const std::string& what) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  throw SqlError(fmt::format("{}: {}", what, PQerrorMessage(connection)), state == nullptr ? "" : state,
                 PQstatus(connection) == CONNECTION_BAD);
}

Rows rows_of(const PGresult* result) {
  Rows rows(static_cast<std::size_t>(PQntuples(result)));
  for (int row = 0; row < PQntuples(result); ++row) {
    for (int column = 0; column < PQnfields(result); ++column) {
      auto& to = rows[static_cast<std::size_t>(row)].emplace_back();
      if (PQgetisnull(result, row, column) == 0) {
        to.emplace(PQgetvalue(result, row, column),
                   static_cast<std::size_t>(PQgetlength(result, row, column)));
      }
    }
  }
  return rows;
}

}  // namespace

SqlConnection::SqlConnection(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str())) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) fail(connection_.get(), nullptr, "connect");
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
}

Rows SqlConnection::run(const std::string& sql, const std::vector<std::string>& parameters) {
  Answer answer;
  if (parameters.empty()) {
    answer.reset(PQexec(connection_.get(), sql.c_str()));
  } else {
    std::vector<const char*> values;
    for (const auto& each : parameters) values.push_back(each.c_str());
    answer.reset(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                              values.data(), nullptr, nullptr, 0));
  }
  const auto status = PQresultStatus(answer.get());
  if (status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE) return rows_of(answer.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) return {};
  fail(connection_.get(), answer.get(), sql);
}

std::string SqlConnection::value(const std::string& sql, const std::vector<std::string>& parameters) {
  const Rows rows = run(sql, parameters);
  if (rows.size() != 1 || rows[0].size() != 1 || !rows[0][0]) {
    throw TestFailure(fmt::format("expected one value, not {} rows or null: {}", rows.size(), sql));
  }
  return *rows[0][0];
}

bool SqlConnection::usable() const {
  pollfd word{.fd = socket(), .events = POLLIN, .revents = 0};  // what comes unasked is the news of its end
  return PQstatus(connection_.get()) == CONNECTION_OK &&
         PQtransactionStatus(connection_.get()) == PQTRANS_IDLE && ::poll(&word, 1, 0) == 0;
}

std::vector<std::string> content_digest(SqlConnection& connection) {
  std::vector<std::string> lines;
  const Rows tables = connection.run(
      "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = "
      "c.relnamespace "
      "WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' "
      "AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
      "AND n.nspname NOT LIKE 'pg\\_temp%' AND n.nspname NOT LIKE 'pg\\_toast%' ORDER BY 1");
  for (const Row& table : tables) {
    const std::string rows_and_digest = connection.value(
        fmt::format("SELECT count(*) || ' ' || "
                    "coalesce(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), '-') FROM {} t",
                    *table[0]));
    lines.push_back(fmt::format("{} {}", *table[0], rows_and_digest));
  }
  lines.push_back(
      connection.value("SELECT 'large objects ' || count(*) || ' ' || "
                       "coalesce(md5(string_agg(md5(lo_get(oid)) || oid, '' ORDER BY oid)), '-') FROM "
                       "pg_largeobject_metadata"));
  return lines;
}

}  // namespace pgstrata::testing
