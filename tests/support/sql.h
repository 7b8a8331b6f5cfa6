// SQL in tests: a libpq connection that throws.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "support/test_failure.h"

namespace pgstrata::testing {

using Row = std::vector<std::optional<std::string>>;
using Rows = std::vector<Row>;

class SqlError : public TestFailure {
 public:
  SqlError(const std::string& message, std::string state, bool lost)
      : TestFailure(message), sqlstate(std::move(state)), connection_lost(lost) {}

  std::string sqlstate;  // empty when there was no answer
  bool connection_lost;
};

// Not thread-safe. All errors are thrown as SqlError.
class SqlConnection {
 public:
  explicit SqlConnection(const std::string& conninfo);

  // Without parameters several statements may be given: one implicit transaction, the last one's rows.
  Rows run(const std::string& sql, const std::vector<std::string>& parameters = {});
  // The only value of the only row; throws when there is another number of them or it is null.
  std::string value(const std::string& sql, const std::vector<std::string>& parameters = {});
  // Nobody has ended it, as far as this end has heard, and it is in no transaction.
  [[nodiscard]] bool usable() const;
  // For shutdown() from another thread, which makes a blocked call fail.
  [[nodiscard]] int socket() const { return PQsocket(connection_.get()); }

 private:
  struct Close {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  std::unique_ptr<PGconn, Close> connection_;
};

// A digest of all permanent tables' rows and of the large objects of one database, to compare two servers by:
// one line for each table, "schema.table rows md5". Sequences are left out: recovery moves them ahead.
[[nodiscard]] std::vector<std::string> content_digest(SqlConnection& connection);

}  // namespace pgstrata::testing
