// A restored directory that is started by hand opens at its target or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;

// Rows 1 to 3, each in a segment of its own.
class RecoveryEndTest : public MainJobTest {
 protected:
  RecoveryEndTest() {
    source_.start();
    source_.query("CREATE TABLE t (n int)");
    protect(source_);
    start_stream(source_);
    backup();
    for (int row = 1; row <= 3; ++row) {
      source_.query("SELECT pg_switch_wal()");
      source_.query(fmt::format("INSERT INTO t VALUES ({})", row));
      ends_.push_back(source_.query_value("SELECT pg_current_wal_insert_lsn()"));
      times_.push_back(server_time(source_));
    }
    source_.query("SELECT pg_switch_wal()");
    wait_until_durable(source_);
    stop_stream();
  }

  [[nodiscard]] std::filesystem::path segment_of_row(std::size_t row) const {
    return repository() / "clusters/app/wal/00000001" /
           source_.query_value(fmt::format("SELECT pg_walfile_name('{}')", ends_.at(row - 1)));
  }
  // Whether PostgreSQL, started in it as by hand, comes to take writes; if not, it must have stopped.
  static bool opens(PostgresServer& server) {
    const auto over = [&] {
      return !server.running() || server.query_value("SELECT pg_is_in_recovery()") == "f";
    };
    if (!server.try_start()) return false;
    try {
      wait_until("recovery to end, one way or the other", over);
    } catch (const SqlError&) {
      wait_until("the server to end", [&] { return !server.running(); });
    }
    return server.running();
  }

  // Without the segment of row 2 it stays closed; once that is back, it opens with `rows`.
  void expect_closed_without_row_2(const std::string& name, const std::vector<std::string>& target,
                                   const std::string& rows) {
    SCOPED_TRACE(name);
    restore(name, target);
    const auto segment = segment_of_row(2);
    std::filesystem::rename(segment, path("kept"));
    PostgresServer server = PostgresServer::adopt(path(name));
    EXPECT_FALSE(opens(server)) << server.query_value("SELECT string_agg(n::text, ',' ORDER BY n) FROM t");
    EXPECT_THAT(server.log_text(), HasSubstr("FATAL:  could not restore file"));
    EXPECT_FALSE(std::filesystem::exists(path(name) / "pg_wal" / "00000002.history"));
    std::filesystem::rename(path("kept"), segment);
    ASSERT_TRUE(opens(server)) << server.log_text();
    EXPECT_EQ(server.query_value("SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), rows);
  }

  PostgresServer source_{{.wal_segment_mib = 1}};
  std::vector<std::string> ends_;
  std::vector<std::string> times_;
};

TEST_F(RecoveryEndTest, WithoutTheWalOfItsTargetItStaysClosed) {
  expect_closed_without_row_2("at", {"--at", times_.at(1)}, "1,2");
  expect_closed_without_row_2("lsn", {"--lsn", ends_.at(1), "--exclusive"}, "1,2");
  // Nothing tells PostgreSQL where this one ends but what it is given to read.
  expect_closed_without_row_2("latest", {"--latest"}, "1,2,3");
}

}  // namespace
}  // namespace pgstrata::testing
