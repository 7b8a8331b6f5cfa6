// A source that is not there, not willing, not able, or not the one that it was.
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "e2e/fault_test.h"
#include "support/port_reservation.h"

namespace pgstrata::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FaultSourceTest : public FaultTest {
 protected:
  // With what `add` says on its way: the problems are on standard output.
  void expect_add_refused(const std::string& url, int exit_code, const std::string& what) {
    const ProgramRun run = pgstrata({"add", "app", "--url", url});
    EXPECT_EQ(run.exit_code, exit_code) << run.describe();
    EXPECT_THAT(run.out + run.err, HasSubstr(what)) << run.describe();
    EXPECT_THAT(run.err, HasSubstr("hint: ")) << run.describe();
    EXPECT_THAT(run.out + run.err, Not(HasSubstr("s3cret"))) << run.describe();
    EXPECT_EQ(pgstrata({"status", "app"}).exit_code, 3) << "nothing was registered";
  }
};

// Speaks just enough of the protocol to be a PostgreSQL 12: protocol 3.0, "Message Formats".
class OldServer {
 public:
  OldServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 4) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
      throw TestFailure("could not listen on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~OldServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  OldServer(const OldServer&) = delete;
  OldServer& operator=(const OldServer&) = delete;
  [[nodiscard]] std::string url() const {
    return fmt::format("postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable&gssencmode=disable",
                       port_);
  }

 private:
  static std::string message(char type, const std::string& body) {
    const std::uint32_t length = htonl(static_cast<std::uint32_t>(body.size() + 4));
    std::string text(1, type);
    text.append(reinterpret_cast<const char*>(&length), sizeof length);
    return text + body;
  }
  static std::string parameter(const std::string& name, const std::string& value) {
    return message('S', name + '\0' + value + '\0');
  }
  void run() {
    while (true) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      char startup[1024];
      if (::recv(client, startup, sizeof startup, 0) > 0) {
        const std::string answer = message('R', std::string(4, '\0')) + parameter("server_version", "12.22") +
                                   parameter("server_encoding", "UTF8") +
                                   parameter("client_encoding", "UTF8") + message('Z', "I");
        if (::send(client, answer.data(), answer.size(), MSG_NOSIGNAL) > 0)
          static_cast<void>(::recv(client, startup, sizeof startup, 0));
      }
      ::close(client);
    }
  }

  int listener_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(FaultSourceTest, AWrongUrl) {
  init();
  expect_add_refused("postgresql://u:s3cret@[bad/x", 2, "URL");
  expect_add_refused("hots=db", 2, "hots");
  expect_add_refused("postgresql://postgres:s3cret@127.0.0.1:1/postgres", 1, "127.0.0.1");
  expect_add_refused("postgresql://postgres@no-such-host.invalid/postgres", 1, "no-such-host.invalid");
  expect_add_refused("host=/nonexistent/socket user=postgres", 1, "/nonexistent/socket");
  expect_add_refused("service=nobody_defined_it", 3, "nobody_defined_it");
}

TEST_F(FaultSourceTest, AWrongPasswordPrivilegeOrHbaLine) {
  PostgresServer server;
  require_passwords(server);
  server.start();
  server.query("CREATE ROLE backup LOGIN REPLICATION PASSWORD 's3cret-right'");
  server.query("CREATE ROLE reader LOGIN PASSWORD 's3cret-right'");
  init();
  const auto url = [&](const std::string& who) {
    return fmt::format("postgresql://{}@127.0.0.1:{}/postgres", who, server.port());
  };
  expect_add_refused(url("backup:s3cret-wrong"), 1, "password");
  expect_add_refused(url("backup"), 1, "password");
  expect_add_refused(url("reader:s3cret-right"), 1, "REPLICATION");
  std::ofstream(server.data_directory() / "pg_hba.conf", std::ios::trunc)
      << "local all all trust\nhost postgres all 127.0.0.1/32 scram-sha-256\n";
  server.reload();
  expect_add_refused(url("backup:s3cret-right"), 1, "pg_hba.conf");
}

TEST_F(FaultSourceTest, SettingsThatForbidIt) {
  PostgresServer server({.settings = {"wal_level = minimal", "max_wal_senders = 0"}});
  server.start();
  init();
  expect_add_refused(server.url(), 1, "wal_level");
  server.configure({"wal_level = replica", "max_wal_senders = 2"});
  server.restart();
  const auto added = pgstrata({"add", "app", "--url", server.url()});
  ASSERT_EQ(added.exit_code, 0) << added.describe();
  // The stream takes one sender, somebody else the other.
  const auto stream = start_pgstrata({"stream", "app"});
  wait_for_lease("stream");
  const TemporaryDirectory wal;
  const ChildProcess other({.arguments = {server.binaries().program("pg_receivewal"), "-d", server.conninfo(),
                                          "-D", wal.make("wal").string()},
                            .output = wal.write("out", ""),
                            .errors = wal.write("err", "")});
  wait_until("both senders to be taken",
             [&] { return server.query_value("SELECT count(*) FROM pg_stat_replication") == "2"; });
  const ProgramRun refused = pgstrata({"backup", "app", "--base"});
  expect_clear(refused, 1, "max_wal_senders");
  EXPECT_EQ(snapshots(), 0U);
  EXPECT_TRUE(stream->running());
}

TEST_F(FaultSourceTest, AVersionThatIsTooOld) {
  const OldServer server;
  init();
  expect_add_refused(server.url(), 1, "12");
}

TEST_F(FaultSourceTest, AnotherClusterBehindTheSameUrl) {
  PostgresServer server;
  protect(server);
  server.query("CREATE TABLE t AS SELECT 1 AS n");
  ok({"backup", "app", "--base"});
  PostgresServer other;
  other.start();
  for (const auto& command : {std::vector<std::string>{"backup", "--base"}, {"stream"}}) {
    auto arguments = command;
    arguments.insert(arguments.end(), {"app", "--url", other.url()});
    const ProgramRun run = pgstrata(arguments);
    expect_clear(run, 1, "another cluster");
  }
  EXPECT_EQ(snapshots(), 1U);
  EXPECT_EQ(other.query_value("SELECT count(*) FROM pg_replication_slots"), "0") << "it was left alone";

  // Nor does it come in where the registration is lost.
  std::filesystem::remove(repository() / "clusters/app/cluster");
  expect_clear(pgstrata({"status", "app"}), 3, "clusters/app/cluster is gone");
  expect_clear(pgstrata({"add", "app", "--url", other.url()}), 1, "lost its registration");
  const auto records = repository() / "clusters/app/snapshots";
  std::filesystem::rename(records, path("snapshots"));
  expect_clear(pgstrata({"add", "app", "--url", other.url()}), 1, "lost its registration");
  std::filesystem::rename(path("snapshots"), records);
  EXPECT_EQ(other.query_value("SELECT count(*) FROM pg_replication_slots"), "0");
  ok({"add", "app", "--url", server.url(), "--slot", "pgstrata_app"});
  EXPECT_EQ(snapshots(), 1U);
  server.kill9();
  const auto copy = restored();
  EXPECT_EQ(copy->query_value("SELECT n FROM t"), "1");
}

ServerOptions keeping_little_wal() {
  return {.wal_segment_mib = 1,
          .settings = {"max_wal_size = '4MB'", "min_wal_size = '2MB'", "wal_keep_size = 0"}};
}

// What was written since the stream ended is gone from the source. Returns a position in it.
std::string lose_wal(const PostgresServer& server) {
  server.query("SELECT pg_drop_replication_slot('pgstrata_app')");
  std::string lost;
  for (int round = 0; round < 4; ++round) {
    server.query("INSERT INTO t SELECT generate_series(1, 20000)");
    server.query("CHECKPOINT");
    if (round == 1) lost = server.query_value("SELECT pg_current_wal_flush_lsn()");
  }
  return lost;
}

TEST_F(FaultSourceTest, APasswordThatNoLongerFitsIsTriedAgain) {
  PostgresServer server;
  require_passwords(server);
  server.start();
  server.query("CREATE ROLE backup LOGIN REPLICATION PASSWORD 's3cret-first'");
  init();
  const auto url = fmt::format("postgresql://backup:s3cret-first@127.0.0.1:{}/postgres", server.port());
  ok({"add", "app", "--url", url});
  const auto stream = start_pgstrata({"stream", "app", "--url", url});
  wait_flushed(server);
  server.query("ALTER ROLE backup PASSWORD 's3cret-second'");
  server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
  stream->wait_for_output("password authentication failed");
  server.query("ALTER ROLE backup PASSWORD 's3cret-first'");
  wait_flushed(server);
  const ProgramRun run = stream->terminate();
  EXPECT_EQ(run.exit_code, 0) << run.describe();
  EXPECT_THAT(run.err, Not(HasSubstr("s3cret")));
}

// A stream waits for it, a backup does not.
TEST_F(FaultSourceTest, ABackupOfASourceThatIsAwaySaysSo) {
  PostgresServer server;
  protect(server);
  server.stop();
  expect_clear(pgstrata({"backup", "app", "--base"}), 1, "could not connect");
}

TEST_F(FaultSourceTest, LostWalIsAGapThatANewBaseBackupEnds) {
  PostgresServer server(keeping_little_wal());
  protect(server);
  server.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  ok({"backup", "app", "--base"});
  const auto stream = [&] { return start_pgstrata({"stream", "app"}); };
  {
    const auto before = stream();
    server.query("INSERT INTO t VALUES (1001)");
    wait_flushed(server);
    EXPECT_EQ(before->terminate().exit_code, 0);
  }
  const auto in_the_gap = lose_wal(server);

  const auto after = stream();
  after->wait_for_output("making a new base backup");
  wait_until("the new base backup", [&] { return snapshots() == 2; });
  server.query("INSERT INTO t VALUES (1002)");
  wait_flushed(server);
  EXPECT_EQ(status().at("coverage").size(), 2U) << "with the gap between them";
  EXPECT_EQ(after->terminate().exit_code, 0);
  expect_clear(pgstrata({"restore", "app", "--to", path("gap").string(), "--lsn", in_the_gap}), 4, "");
  EXPECT_FALSE(std::filesystem::exists(path("gap"))) << "nothing was written";
  const auto rows = server.query_value("SELECT count(*) FROM t");
  server.stop();
  EXPECT_EQ(restored()->query_value("SELECT count(*) FROM t"), rows);
}

class LostSlotTest : public FaultSourceTest {
 protected:
  // With a backup, and all up to it streamed.
  void protect_and_stream(PostgresServer& server) {
    protect(server);
    server.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    ok({"backup", "app", "--base"});
    const auto stream = start_pgstrata({"stream", "app"});
    wait_flushed(server);
    EXPECT_EQ(stream->terminate().exit_code, 0);
  }
  static std::string slot(const PostgresServer& server, const std::string& column) {
    return server.query_value("SELECT " + column +
                              " FROM pg_replication_slots WHERE slot_name = 'pgstrata_app'");
  }
  std::vector<std::string> problem_codes() const {
    const Json of_cluster = status();
    std::vector<std::string> codes;
    for (const Json& problem : of_cluster.at("problems")) codes.push_back(problem.at("code"));
    return codes;
  }
};

class LostSlotOnMajors : public LostSlotTest, public ::testing::WithParamInterface<int> {};

TEST_P(LostSlotOnMajors, OneThatKeptTooMuchWalIsMadeAgainAndABaseBackupEndsTheGap) {
  auto options = keeping_little_wal();
  options.major = GetParam();
  options.settings.emplace_back("max_slot_wal_keep_size = '1MB'");
  PostgresServer server(options);
  protect_and_stream(server);
  for (int round = 0; round < 4; ++round) {
    server.query("INSERT INTO t SELECT generate_series(1, 20000)");
    server.query("CHECKPOINT");
  }
  ASSERT_EQ(slot(server, "wal_status"), "lost");
  if (GetParam() >= 15) {  // before that the source does not tell
    EXPECT_THAT(problem_codes(), ::testing::Contains("slot_invalid"));
  }

  const auto stream = start_pgstrata({"stream", "app"});
  stream->wait_for_output("making a new base backup");
  wait_until("the new base backup", [&] { return snapshots() == 2; });
  server.query("INSERT INTO t VALUES (1002)");
  wait_flushed(server);
  EXPECT_THAT(stream->errors(), HasSubstr("the source has removed WAL that was not received"));
  EXPECT_NE(slot(server, "wal_status"), "lost") << "it was made again";
  EXPECT_EQ(slot(server, "active"), "t");
  EXPECT_EQ(status().at("coverage").size(), 2U) << "with the gap between them";
  EXPECT_EQ(problem_codes(), std::vector<std::string>{"coverage_gap"});
  EXPECT_EQ(stream->terminate().exit_code, 0);
  const auto rows = server.query_value("SELECT count(*) FROM t");
  server.stop();
  EXPECT_EQ(restored()->query_value("SELECT count(*) FROM t"), rows);
}

INSTANTIATE_TEST_SUITE_P(Majors, LostSlotOnMajors, ::testing::ValuesIn(newest_major()),
                         ::testing::PrintToStringParamName());

// Given up, but the WAL is still there: no gap.
TEST_F(LostSlotTest, OneThatWasIdleTooLongIsMadeAgainAndNothingIsLost) {
  PostgresServer server(
      {.major = 18, .settings = {"idle_replication_slot_timeout = '1s'", "wal_keep_size = '1GB'"}});
  protect_and_stream(server);
  server.query("INSERT INTO t VALUES (1001)");
  wait_until("the source to give up the slot", [&] {
    server.query("CHECKPOINT");
    return slot(server, "coalesce(invalidation_reason, '')") == "idle_timeout";
  });
  const auto stream = start_pgstrata({"stream", "app"});
  stream->wait_for_output("the source has given up the slot \"pgstrata_app\"");
  server.query("INSERT INTO t VALUES (1002)");
  wait_flushed(server);
  EXPECT_EQ(slot(server, "active || coalesce(invalidation_reason, '')"), "true");
  EXPECT_EQ(status().at("coverage").size(), 1U);
  EXPECT_TRUE(problem_codes().empty());
  EXPECT_EQ(stream->terminate().exit_code, 0);
  server.stop();
  EXPECT_EQ(restored()->query_value("SELECT count(*) FROM t"), "1002");
}

// The stream ends between the gap and its base backup: the next one makes it.
TEST_F(FaultSourceTest, ABaseBackupThatLostWalAsksForSurvivesARestartOfTheStream) {
  PostgresServer server(keeping_little_wal());
  protect(server);
  server.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  ok({"backup", "app", "--base"});
  lose_wal(server);
  server.configure({"max_wal_senders = 1"});  // none for a base backup beside the stream
  server.restart();
  {
    const auto stream = start_pgstrata({"stream", "app"});
    stream->wait_for_output("the base backup after lost WAL failed");
    EXPECT_EQ(stream->terminate().exit_code, 0);
  }
  server.configure({"max_wal_senders = 10"});
  server.restart();
  const auto stream = start_pgstrata({"stream", "app"});
  wait_until("the new base backup", [&] { return snapshots() == 2; });
  EXPECT_EQ(stream->terminate().exit_code, 0);
  const auto rows = server.query_value("SELECT count(*) FROM t");
  server.stop();
  EXPECT_EQ(restored()->query_value("SELECT count(*) FROM t"), rows);
}

}  // namespace
}  // namespace pgstrata::testing
