// A table t with a number in each row, each inserted by a transaction that is known.
#pragma once

#include <string>

#include "support/postgres_server.h"

namespace pgstrata::testing {

inline constexpr const char* rows_of_t = "SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM t";

// For to_char: as --at takes it.
inline constexpr const char* utc = "AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'";

struct Commit {
  std::string xid;
  std::string time;   // as the commit record has it
  std::string after;  // the insert position behind it
};

inline Commit insert_row(const PostgresServer& source, int row) {
  SqlConnection connection(source.conninfo());
  connection.run("BEGIN");
  connection.run(fmt::format("INSERT INTO t VALUES ({})", row));
  Commit commit{.xid = connection.value("SELECT pg_current_xact_id()::xid"), .time = {}, .after = {}};
  connection.run("COMMIT");
  commit.after = connection.value("SELECT pg_current_wal_insert_lsn()");
  commit.time = connection.value(
      fmt::format("SELECT to_char(pg_xact_commit_timestamp('{}'::xid) {})", commit.xid, utc));
  return commit;
}

}  // namespace pgstrata::testing
