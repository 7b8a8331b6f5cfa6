// What a rolled snapshot says of its tables, without having asked any server: as many rows as were counted, and
// what the server said they take.
#include <algorithm>
#include <csignal>
#include <thread>

#include "e2e/roll_test.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

class RollTablesTest : public RollTest, public ::testing::WithParamInterface<int> {};

TEST_P(RollTablesTest, AreWhatTheSourceHad) {
  PostgresServer source({.major = GetParam(), .settings = {"autovacuum = off"}});
  source.start();
  protect(source);
  backup();
  source.query("CREATE DATABASE shop");
  source.query("CREATE DATABASE gone");
  source.query("DROP DATABASE gone");
  source.query(
      "CREATE SCHEMA sales; CREATE TABLE sales.orders(id int PRIMARY KEY, note text); "
      "INSERT INTO sales.orders SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 3000) n; "
      "INSERT INTO sales.orders SELECT -n, (SELECT string_agg(md5((n * k)::text), '') FROM "
      "generate_series(1, 300) k) FROM generate_series(1, 20) n; "
      "CREATE INDEX ON sales.orders (note) WHERE id > 0; CREATE TABLE \"Größe\"(a int); "
      "INSERT INTO \"Größe\" VALUES (1); CREATE TABLE dropped(a int); CREATE UNLOGGED TABLE unlogged(a int)",
      "shop");
  source.query("DROP TABLE dropped", "shop");
  source.query("ALTER TABLE \"Größe\" ADD COLUMN b int", "shop");
  source.query("ANALYZE sales.orders", "shop");
  checkpoint(source);
  EXPECT_EQ(roll().at("table_count"), 2);
  const Json tables = json_of({"snapshot", "list", "app", "--tables"}).at("snapshots").back().at("tables");
  ASSERT_EQ(tables.size(), 2U) << tables;
  const auto size = [&](const std::string& table) {
    return std::stoull(source.query_value(fmt::format("SELECT pg_total_relation_size('{}')", table), "shop"));
  };
  EXPECT_EQ(tables.at(0), (Json{{"database", "shop"},
                                {"schema", "sales"},
                                {"table", "orders"},
                                {"estimated_rows", 3020},
                                {"bytes", size("sales.orders")}}));
  EXPECT_EQ(tables.at(1), (Json{{"database", "shop"},
                                {"schema", "public"},
                                {"table", "Größe"},
                                {"estimated_rows", nullptr},
                                {"bytes", size("\"Größe\"")}}));
}

class RollTablespacesTest : public RollTest {};

TEST_F(RollTablespacesTest, OneThatIsGoneIsNotRestored) {
  PostgresServer source;
  source.start();
  for (const std::string name : {"kept", "gone"}) {
    source.query(fmt::format("CREATE TABLESPACE {} LOCATION '{}'", name, directory().make(name).string()));
    source.query(fmt::format("CREATE TABLE in_{0} TABLESPACE {0} AS SELECT 1 AS a", name));
  }
  protect(source);
  backup();
  source.query("DROP TABLE in_gone");
  source.query("DROP TABLESPACE gone");
  checkpoint(source);
  roll();
  const auto here = directory().make("here");
  restore("copy", {"--tablespace", fmt::format("{}={}", path("kept").string(), here.string())});
  const std::filesystem::directory_iterator links(path("copy") / "pg_tblspc");
  EXPECT_EQ(std::distance(begin(links), end(links)), 1);
  const std::filesystem::recursive_directory_iterator kept(here);
  EXPECT_TRUE(std::any_of(begin(kept), end(kept), [](const auto& entry) {
    return entry.is_regular_file() && entry.file_size() == 8192;
  })) << "the table's page";
}

class RollNewTablespacesTest : public RollTest, public ::testing::WithParamInterface<int> {};

TEST_P(RollNewTablespacesTest, AreRolledAsThoseThatTheBaseHad) {
  PostgresServer source({.major = GetParam()});
  source.start();
  protect(source);
  backup();
  for (const std::string name : {"fresh", "brief"}) {
    source.query(fmt::format("CREATE TABLESPACE {} LOCATION '{}'", name, directory().make(name).string()));
    source.query(
        fmt::format("CREATE TABLE in_{0} TABLESPACE {0} AS SELECT generate_series(1, 1000) AS n", name));
  }
  source.query("DROP TABLE in_brief");
  source.query("DROP TABLESPACE brief");
  checkpoint(source);
  roll();
  source.query("UPDATE in_fresh SET n = n + 1");
  checkpoint(source);
  roll();
  expect_no_leftovers();
  const auto here = directory().make("here");
  restore("copy", {"--tablespace", fmt::format("{}={}", path("fresh").string(), here.string())});
  PostgresServer copy = PostgresServer::adopt(path("copy"));
  copy.start();
  EXPECT_EQ(copy.query_value("SELECT sum(n) FROM in_fresh"), "501500");
  EXPECT_EQ(copy.query_value("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE oid > 10000"),
            here.string());
}

// It is in the list that the server sends, and in the WAL from the checkpoint on.
TEST_F(RollTablespacesTest, OneThatWasMadeDuringTheBasesCheckpointIsThereOnce) {
  PostgresServer source({.settings = {"shared_buffers = 256MB", "max_wal_size = 4GB", "log_checkpoints = on",
                                      "autovacuum = off", "checkpoint_timeout = 1h"}});
  source.start();
  protect(source);
  const auto checkpointer = static_cast<pid_t>(
      std::stol(source.query_value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")));
  // So that the checkpoint has something to do.
  source.query("CREATE TABLE large AS SELECT n, repeat('x', 1000) FROM generate_series(1, 150000) n");
  const auto before = checkpoints_begun(source);
  BackgroundPgstrata base({"backup", "app", "--base"}, environment());
  wait_until("the checkpoint", [&] { return checkpoints_begun(source) > before; });
  ::kill(checkpointer, SIGSTOP);
  source.query(fmt::format("CREATE TABLESPACE twice LOCATION '{}'", directory().make("twice").string()));
  source.query("CREATE TABLE in_twice TABLESPACE twice AS SELECT generate_series(1, 1000) AS n");
  ::kill(checkpointer, SIGCONT);
  const auto made = base.wait();
  ASSERT_EQ(made.exit_code, 0) << made.describe();
  checkpoint(source);
  roll();
  restore("copy",
          {"--tablespace", fmt::format("{}={}", path("twice").string(), directory().make("here").string())});
  PostgresServer copy = PostgresServer::adopt(path("copy"));
  copy.start();
  EXPECT_EQ(copy.query_value("SELECT count(*) FROM in_twice"), "1000");
}

// The snapshot would have it, and recovery from there make it again.
TEST_F(RollTablespacesTest, OneThatWasMadeDuringTheCheckpointWaitsForTheNext) {
  PostgresServer source(
      {.settings = {"checkpoint_timeout = 30s", "log_checkpoints = on", "autovacuum = off"}});
  source.start();
  protect(source);
  backup();
  source.query("CREATE TABLE written AS SELECT n, repeat('x', 1000) FROM generate_series(1, 100) n");
  const auto before = checkpoints_begun(source);
  {
    // A checkpoint that takes its time: a tenth of a second for a page.
    const std::jthread slow([&] { source.query("SELECT pg_backup_start('slow', false)"); });
    wait_until("the checkpoint", [&] { return checkpoints_begun(source) > before; });
    source.query(fmt::format("CREATE TABLESPACE late LOCATION '{}'", directory().make("late").string()));
  }
  wait_until_durable(source);
  const auto refused = pgstrata({"backup", "app"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, ::testing::HasSubstr("was made at"));
  EXPECT_THAT(refused.err, ::testing::HasSubstr("backup --checkpoint"));
  checkpoint(source);
  roll();
}

INSTANTIATE_TEST_SUITE_P(Majors, RollNewTablespacesTest, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });
INSTANTIATE_TEST_SUITE_P(Majors, RollTablesTest, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

}  // namespace
}  // namespace pgstrata::testing
