// What a cluster may hold: whatever PostgreSQL stores comes back, whatever it is called.
#include <array>
#include <csignal>
#include <fstream>
#include <functional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "e2e/main_job_fixture.h"
#include "support/sql.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ContentTest : public MainJobTest {
 protected:
  // What `restore` wrote, once it accepts writes.
  std::unique_ptr<PostgresServer> start_restored(const std::string& name) const {
    std::unique_ptr<PostgresServer> server(new PostgresServer(PostgresServer::adopt(path(name))));
    server->start();
    wait_until("the end of recovery",
               [&] { return server->query_value("SELECT pg_is_in_recovery()") == "f"; });
    return server;
  }
};
class ContentOnMajors : public MainJobTest, public ::testing::WithParamInterface<int> {};

// The peak of the largest program that `work` runs to its end; it does so in a process of its own.
std::uint64_t peak_memory_bytes(const std::function<void()>& work) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw TestFailure("pipe2 failed");
  const pid_t pid = fork();
  if (pid == 0) {
    try {
      work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
      _exit(1);
    }
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    const auto peak = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    _exit(write(ends[1], &peak, sizeof peak) == sizeof peak ? 0 : 1);
  }
  std::uint64_t peak = 0;
  close(ends[1]);
  const auto got = read(ends[0], &peak, sizeof peak);
  close(ends[0]);
  waitpid(pid, nullptr, 0);
  if (got != sizeof peak) throw TestFailure("the measured work failed");
  return peak;
}
constexpr std::uint64_t memory_promise_bytes = 256ULL << 20;

TEST_P(ContentOnMajors, TablespacesUnloggedTablesAndLargeObjects) {
  PostgresServer source({.major = GetParam()});
  source.start();
  const auto first = directory().make("space one");
  const auto second = directory().make("space=two");
  source.query(fmt::format("CREATE TABLESPACE \"odd name\" LOCATION '{}'", first.string()));
  source.query(fmt::format("CREATE TABLESPACE two LOCATION '{}'", second.string()));
  source.query("CREATE TABLE in_one (n int PRIMARY KEY) TABLESPACE \"odd name\"");
  source.query("INSERT INTO in_one SELECT generate_series(1, 5000)");
  source.query("CREATE DATABASE elsewhere TABLESPACE two");
  source.query("CREATE TABLE in_two AS SELECT generate_series(1, 3000) AS n", "elsewhere");
  source.query("CREATE UNLOGGED TABLE fleeting AS SELECT generate_series(1, 1000) AS n");
  source.query("CREATE UNLOGGED TABLE fleeting_in_one TABLESPACE \"odd name\" AS SELECT 1 AS n");
  source.query("SELECT lo_from_bytea(4711, convert_to(repeat('large object ', 50000), 'UTF8'))");
  source.query("SELECT lo_from_bytea(4712, '')");
  protect(source);
  backup();
  const auto before = digest_of_all(server_place(source));

  // Where they were, nobody may write: the source has them.
  const ProgramRun refused = pgstrata({"restore", "app", "--to", path("refused").string()});
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.err, HasSubstr("--tablespace "));
  EXPECT_EQ(source.query_value("SELECT count(*) FROM in_one"), "5000");

  const auto to_first = path("a new, odd place");
  const auto to_second = path("other");
  const auto restored = restore_and_start(
      "re stored",
      {"--tablespace", first.string() + "=" + to_first.string(),
       fmt::format("--tablespace={}/space\\=two={}", directory().path().string(), to_second.string())});
  EXPECT_EQ(digest_of_all(server_place(*restored)), before);
  EXPECT_EQ(restored->query_value("SELECT count(*) FROM fleeting"), "0");
  EXPECT_EQ(restored->query_value("SELECT count(*) FROM fleeting_in_one"), "0");
  EXPECT_EQ(restored->query_value(
                "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'odd name'"),
            to_first.string());
  EXPECT_FALSE(std::filesystem::is_empty(to_second));
  EXPECT_THAT(amcheck_problems(server_place(*restored)), IsEmpty());
}

TEST_P(ContentOnMajors, AClusterWithoutChecksumsAndOddNames) {
  PostgresServer source({.major = GetParam(), .checksums = false});
  source.start();
  const std::string odd = "od\"d 'näme' \\ %s %f \xE6\x97\xA5\xE6\x9C\xAC\nline";
  const std::string quoted = "\"od\"\"d 'näme' \\ %s %f \xE6\x97\xA5\xE6\x9C\xAC\nline\"";
  source.query("CREATE DATABASE " + quoted);
  SqlConnection in_odd(with_database(server_place(source), odd));
  in_odd.run("CREATE SCHEMA " + quoted);
  in_odd.run(fmt::format("CREATE TABLE {0}.{0} ({0} text PRIMARY KEY)", quoted));
  in_odd.run(fmt::format("INSERT INTO {0}.{0} SELECT 'näme ' || i FROM generate_series(1, 2000) i", quoted));
  source.query("CREATE ROLE " + quoted + " LOGIN REPLICATION");
  // A URL in words, over the socket, by the odd role.
  std::string role;
  for (const char c : odd) {
    if (c == '\'' || c == '\\') role += '\\';
    role += c;
  }
  protect(source, fmt::format("host='{}' port={} user='{}' dbname=postgres",
                              source.socket_directory().string(), source.port(), role));
  const Json snapshot = backup();
  EXPECT_EQ(snapshot.at("data_checksums"), false);
  const auto restored = restore_and_start("restored", {});
  EXPECT_EQ(digest_of_all(server_place(*restored)), digest_of_all(server_place(source)));
  EXPECT_EQ(restored->query_value(fmt::format("SELECT count(*) FROM {0}.{0}", quoted), odd), "2000");
  SqlConnection restored_odd(restored->conninfo(odd));
  EXPECT_EQ(restored_odd.value("SELECT rolreplication FROM pg_roles WHERE rolname = $1", {odd}), "t");
}

INSTANTIATE_TEST_SUITE_P(Majors, ContentOnMajors, ::testing::ValuesIn(newest_major()),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

class WalSegmentSize : public MainJobTest, public ::testing::WithParamInterface<int> {};

TEST_P(WalSegmentSize, IsTheSources) {
  PostgresServer source(
      {.wal_segment_mib = GetParam(), .settings = {"max_wal_size = 1GB", "min_wal_size = 128MB"}});
  source.start();
  source.query("CREATE TABLE t (i int, label text)");
  protect(source);
  start_stream(source);
  backup();
  for (int part = 0; part < 5; ++part) {
    source.query("INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 40000) i");
  }
  const std::string moment = server_time(source);
  source.query("TRUNCATE t");
  wait_until_durable(source);
  const auto restored = restore_and_start("restored", {"--at", moment});
  EXPECT_EQ(restored->query_value("SELECT count(*) FROM t"), "200000");
  EXPECT_EQ(restored->query_value("SHOW wal_segment_size"), fmt::format("{}MB", GetParam()));
  stop_stream();
  EXPECT_EQ(json_of({"verify"}).at("sound"), true);
}

INSTANTIATE_TEST_SUITE_P(MiB, WalSegmentSize, ::testing::Values(1, 64),
                         [](const auto& size) { return fmt::format("Of{}", size.param); });

// As Debian has it: the configuration is not in the data directory, and limits are not the usual ones.
TEST_F(ContentTest, AClusterWhoseConfigurationIsElsewhere) {
  PostgresServer made;
  for (const char* file : {"postgresql.conf", "pg_hba.conf", "pg_ident.conf"})
    std::filesystem::remove(made.data_directory() / file);
  const auto hba = directory().write("hba", "local all all trust\nlocal replication all trust\n");
  PostgresServer source = PostgresServer::adopt(
      made.data_directory(), {"hba_file=" + hba.string(), "ident_file=" + hba.string() + ".none",
                              "max_connections=222", "max_worker_processes=17", "max_prepared_transactions=9",
                              "max_locks_per_transaction=99", "max_wal_senders=15", "fsync=off"});
  source.start();
  source.query("CREATE TABLE t AS SELECT 42 AS n");
  protect(source, source.conninfo("backup"));
  start_stream(source);
  backup();
  source.query("UPDATE t SET n = 43");
  wait_until_durable(source);
  const auto restored = restore_and_start("restored", {"--latest"});
  // Local users are let in as who they are, so it takes the server's user to ask.
  const ProgramRun asked =
      run_program({PostgresBinaries::find(15).program("psql"), "-qAtX", "-h", restored->host(), "-p",
                   std::to_string(restored->port()), "-U", "postgres", "-c", "SELECT n FROM t"});
  EXPECT_EQ(asked.out, "43\n") << asked.describe();

  const ProgramRun by_hand = pgstrata({"restore", "app", "--to", path("by_hand"), "--latest"});
  EXPECT_THAT(by_hand.out, ::testing::HasSubstr("wrote postgresql.conf, pg_hba.conf, pg_ident.conf"))
      << by_hand.describe();
  EXPECT_TRUE(std::filesystem::exists(path("by_hand") / "pg_hba.conf"));
}

TEST_F(ContentTest, ManyDatabases) {
  PostgresServer source;
  source.start();
  for (int i = 0; i < 30; ++i) {
    source.query(fmt::format("CREATE DATABASE d{}", i));
    source.query(fmt::format("CREATE TABLE t AS SELECT generate_series(1, {}) AS n", 100 + i),
                 fmt::format("d{}", i));
  }
  protect(source);
  backup();
  const auto restored = restore_and_start("restored", {"--latest"});
  EXPECT_EQ(digest_of_all(server_place(*restored)), digest_of_all(server_place(source)));
}

TEST_F(ContentTest, TwentyThousandRelationsInBoundedMemory) {
  PostgresServer source({.settings = {"autovacuum = off", "max_locks_per_transaction = 1024"}});
  source.start();
  for (int part = 0; part < 20; ++part) {
    source.query(fmt::format(
        "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE format('CREATE TABLE r_%s (n int); INSERT INTO "
        "r_%s VALUES (%s)', i + {0}, i + {0}, i + {0}); END LOOP; END $$",
        part * 1000));
  }
  protect(source);
  EXPECT_LT(peak_memory_bytes([&] { backup(); }), memory_promise_bytes);
  EXPECT_GT(snapshots().at(0).at("files"), 20000);
  EXPECT_LT(peak_memory_bytes([&] { restore("restored", {"--latest"}); }), memory_promise_bytes);
  const auto restored = start_restored("restored");
  const std::string sum =
      "DO $$ DECLARE total bigint := 0; one int; BEGIN FOR i IN 1..20000 LOOP EXECUTE format('SELECT n FROM "
      "r_%s', i) "
      "INTO one; total := total + one; END LOOP; IF total <> 200010000 THEN RAISE 'sum is %', total; END IF; "
      "END $$";
  EXPECT_NO_THROW(restored->query(sum));
}

// A relation in two files, the first of 1 GiB; rows that compress well, so that the disk is the test's, not
// the repository's.
TEST_F(ContentTest, ARelationOverOneGibibyte) {
  PostgresServer source({.settings = {"autovacuum = off", "max_wal_size = 8GB", "wal_level = replica"}});
  source.start();
  source.query("CREATE TABLE huge (n int, filler text) WITH (autovacuum_enabled = off)");
  source.query("ALTER TABLE huge ALTER COLUMN filler SET STORAGE PLAIN");
  protect(source);
  // One row to a page: 140,000 pages.
  source.query("INSERT INTO huge SELECT i, repeat(md5(i::text), 130) FROM generate_series(1, 140000) i");
  const std::string digest = "SELECT count(*) || ' ' || sum(hashtext(filler)) || ' ' || sum(n) FROM huge";
  const std::string before = source.query_value(digest);
  ASSERT_GT(std::stoll(source.query_value("SELECT pg_relation_size('huge')")), 1LL << 30);
  EXPECT_LT(peak_memory_bytes([&] { backup(); }), memory_promise_bytes);
  EXPECT_GT(snapshots().at(0).at("total_bytes"), 1ULL << 30);
  source.stop();
  EXPECT_LT(peak_memory_bytes([&] { restore("restored", {"--latest"}); }), memory_promise_bytes);
  EXPECT_EQ(start_restored("restored")->query_value(digest), before);
}

TEST_F(ContentTest, TheSecondBackupAddsLittle) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t AS SELECT i, md5(i::text) AS label FROM generate_series(1, 300000) i");
  source.query("VACUUM FREEZE");
  protect(source);
  const auto first = backup().at("added_bytes").get<std::uint64_t>();
  source.query("UPDATE t SET label = 'new' WHERE i = 7");
  const auto second = backup().at("added_bytes").get<std::uint64_t>();
  EXPECT_GT(first, 5'000'000U);
  EXPECT_LT(second, first / 10);
  EXPECT_EQ(snapshots().size(), 2U);
}

std::uint64_t bytes_below(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) bytes += entry.file_size(ignored);
  }
  return bytes;
}

class InterruptedBackup : public MainJobTest, public ::testing::WithParamInterface<int> {};

TEST_P(InterruptedBackup, LeavesNothingHalfMadeAndGoesOn) {
  PostgresServer source;
  source.start();
  // 130 MB that do not compress: several packs.
  source.query(
      "CREATE TABLE t AS SELECT i, (SELECT string_agg(sha512((i * 28 + j)::text::bytea), '') FROM "
      "generate_series(1, "
      "28) j) AS x FROM generate_series(1, 64000) i");
  source.query("VACUUM FREEZE");
  protect(source);
  const std::uint64_t empty = bytes_below(repository());
  {
    BackgroundPgstrata interrupted({"backup", "app", "--base"}, environment());
    wait_until("the backup to have stored some", [&] {
      if (!interrupted.running()) throw TestFailure("it ended: " + interrupted.wait().describe());
      return bytes_below(repository()) > empty + (40ULL << 20);
    });
    interrupted.send_signal(GetParam());
    const ProgramRun run = interrupted.wait(std::chrono::seconds(10));
    EXPECT_EQ(run.exit_code, GetParam() == SIGKILL ? 128 + SIGKILL : 1) << run.describe();
    if (GetParam() == SIGINT) {
      EXPECT_THAT(run.err, HasSubstr("no snapshot was made"));
    }
  }
  EXPECT_TRUE(snapshots().empty());
  EXPECT_TRUE(coverage().empty());
  const ProgramRun nothing = pgstrata({"restore", "app", "--to", path("none").string()});
  EXPECT_EQ(nothing.exit_code, 4) << nothing.describe();

  const Json snapshot = backup();
  EXPECT_EQ(snapshots().size(), 1U);
  const auto added = snapshot.at("added_bytes").get<std::uint64_t>();
  const std::uint64_t stored = bytes_below(repository()) - empty;
  // A whole pack at least was found again.
  EXPECT_LT(added + (30ULL << 20), stored);
  EXPECT_EQ(json_of({"verify"}).at("sound"), true);
  const auto restored = restore_and_start("restored", {"--latest"});
  EXPECT_EQ(restored->query_value("SELECT count(*) || ' ' || sum(hashtext(x::text)) FROM t"),
            source.query_value("SELECT count(*) || ' ' || sum(hashtext(x::text)) FROM t"));
}

INSTANTIATE_TEST_SUITE_P(By, InterruptedBackup, ::testing::Values(SIGINT, SIGKILL),
                         [](const auto& number) { return number.param == SIGINT ? "SIGINT" : "SIGKILL"; });

TEST_F(ContentTest, ABadPageIsNamedAndTheBackupKept) {
  PostgresServer source;
  source.start();
  source.query("CREATE TABLE t AS SELECT i, md5(i::text) AS label FROM generate_series(1, 20000) i");
  source.query("VACUUM FREEZE t");
  const std::string file = source.query_value("SELECT pg_relation_filepath('t')");
  protect(source);
  source.stop();
  {
    std::fstream relation(source.data_directory() / file, std::ios::in | std::ios::out | std::ios::binary);
    relation.seekp(7 * 8192 + 5000);
    relation << "bits that rotted";
  }
  source.start();
  const Json snapshot = backup(6);
  EXPECT_EQ(snapshot.at("bad_page_count"), 1);
  EXPECT_EQ(snapshot.at("bad_pages").at(0), Json({{"path", file}, {"block", 7}}));
  const ProgramRun again = pgstrata({"backup", "app", "--base"});
  EXPECT_EQ(again.exit_code, 6) << again.describe();
  EXPECT_THAT(again.out, HasSubstr(fmt::format("bad page: {} block 7", file)));
  EXPECT_EQ(snapshots().size(), 2U);
  EXPECT_EQ(snapshots().at(0).at("bad_page_count"), 1);
  // What is not damaged comes back.
  const auto restored = restore_and_start("restored", {"--latest"});
  EXPECT_EQ(restored->query_value("SELECT count(*) FROM pg_class WHERE relname = 't'"), "1");
}

// A machine that has the repository and its key, and nothing else.
TEST_F(ContentTest, AnotherMachineSeesTheSame) {
  const TemporaryDirectory other;
  Json here;
  {
    PostgresServer source;
    source.start();
    source.query("CREATE TABLE t AS SELECT 42 AS n");
    protect(source);
    start_stream(source);
    backup();
    wait_until_durable(source);
    stop_stream();
    here = json_of({"status", "app", "--offline"}).at("clusters").at(0);
  }
  std::filesystem::rename(repository(), other.path() / "moved");
  std::filesystem::rename(path("key"), other.path() / "the key");
  const Environment nothing{{"HOME", other.path().string()},
                            {"PGSTRATA_CONFIG", other.write("none.toml", "").string()}};
  const std::vector<std::string> flags{"--repo",     (other.path() / "moved").string(),
                                       "--key-file", (other.path() / "the key").string(),
                                       "--output",   "json"};
  const auto there = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProgramRun run = run_pgstrata(arguments, nothing);
    EXPECT_EQ(run.exit_code, 0) << run.describe();
    return Json::parse(run.out);
  };
  const Json moved = there({"status", "app", "--offline"}).at("clusters").at(0);
  for (const char* key : {"coverage", "snapshots", "last_snapshot", "stored"})
    EXPECT_EQ(moved.at(key), here.at(key)) << key;
  EXPECT_EQ(moved.at("source").at("system_identifier"), here.at("source").at("system_identifier"));
  there({"restore", "app", "--to", (other.path() / "restored").string()});
  PostgresServer copy = PostgresServer::adopt(other.path() / "restored");
  copy.start();
  EXPECT_EQ(copy.query_value("SELECT n FROM t"), "42");
}

}  // namespace
}  // namespace pgstrata::testing
