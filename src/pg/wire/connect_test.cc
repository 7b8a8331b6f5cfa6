// Connections that are refused, and what the user is told to do.
#include <array>
#include <csignal>
#include <stdexcept>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pg/wire/connect_failure.h"
#include "pg/wire/wire_test_support.h"
#include "support/wait_until.h"

namespace pgstrata {
namespace {

Error refused(const std::string& url) {
  const Cancellation cancellation;
  return must_fail(ReplicationConnection::connect(url_of(url), {}, cancellation));
}

class Refused : public ::testing::TestWithParam<int> {};

TEST_P(Refused, ByPasswordPrivilegeAndRules) {
  testing::PostgresServer server(
      {.major = GetParam(), .settings = {"password_encryption = 'scram-sha-256'"}});
  server.start();
  server.query("drop role if exists repl, plain");
  server.query("create role repl login replication password 'right'");
  server.query("create role plain login");
  const std::string port = std::to_string(server.port());
  const std::string base = "host=127.0.0.1 port=" + port + " dbname=postgres ";

  const auto privilege = refused(base + "user=plain");
  EXPECT_EQ(privilege.code(), ErrorCode::permission) << privilege.describe();
  EXPECT_NE(privilege.hint().find("ALTER ROLE \"plain\" REPLICATION"), std::string::npos) << privilege.hint();

  // The rules are read by new connections once the postmaster has seen the signal; the socket stays trusted.
  const auto rules = server.data_directory() / "pg_hba.conf";
  const auto write_rules = [&](const std::string& lines) {
    server.query("copy (select unnest(string_to_array('local all all trust;" + lines + "', ';'))) to '" +
                 rules.string() + "'");
    server.reload();
  };
  const auto eventually = [&](const std::string& url, std::string_view words) {
    std::optional<Error> error;
    testing::wait_until("the new rules", [&] {
      const Cancellation cancellation;
      auto connection = ReplicationConnection::connect(url_of(url), {}, cancellation);
      if (connection.has_value()) return false;
      error = std::move(connection).error();
      return error->describe().find(words) != std::string::npos;
    });
    return *error;
  };

  write_rules("host replication all 127.0.0.1/32 scram-sha-256");
  const auto wrong = eventually(base + "user=repl password=wrong", "password authentication failed");
  EXPECT_EQ(wrong.code(), ErrorCode::permission);
  EXPECT_NE(wrong.hint().find(".pgpass"), std::string::npos) << wrong.hint();
  EXPECT_EQ(wrong.describe().find("28P01"), std::string::npos) << wrong.describe();
  EXPECT_EQ(wrong.describe().find("LOCATION"), std::string::npos) << wrong.describe();

  const auto missing = refused(base + "user=repl passfile=/nonexistent");
  EXPECT_EQ(missing.code(), ErrorCode::permission) << missing.describe();
  EXPECT_NE(missing.hint().find("PGPASSWORD"), std::string::npos) << missing.hint();

  const Cancellation cancellation;
  must(ReplicationConnection::connect(url_of(base + "user=repl password=right"), {}, cancellation));

  write_rules("host all all 127.0.0.1/32 trust");
  const auto no_entry = eventually(base + "user=repl password=right", "pg_hba.conf");
  EXPECT_EQ(no_entry.code(), ErrorCode::permission) << no_entry.describe();
  EXPECT_NE(no_entry.hint().find("host  replication  repl  127.0.0.1/32  scram-sha-256"), std::string::npos)
      << no_entry.hint();
  write_rules("host replication all 127.0.0.1/32 trust;host all all 127.0.0.1/32 trust");
  testing::wait_until("the old rules", [&] {
    return ReplicationConnection::connect(url_of(server.url()), {}, cancellation).has_value();
  });
}

TEST_P(Refused, ByTooFewWalSenders) {
  auto& server = shared_server(GetParam(), {"max_wal_senders = 1"});
  const Cancellation cancellation;
  {
    const auto first = connect_to(server, cancellation);
    const auto second = refused(server.url());
    EXPECT_EQ(second.code(), ErrorCode::unavailable) << second.describe();
    EXPECT_NE(second.hint().find("max_wal_senders"), std::string::npos) << second.hint();
  }
  const auto none = refused(shared_server(GetParam(), {"max_wal_senders = 0", "wal_level = minimal"}).url());
  EXPECT_EQ(none.code(), ErrorCode::unsupported) << none.describe();
  EXPECT_NE(none.hint().find("max_wal_senders"), std::string::npos) << none.hint();
}

INSTANTIATE_TEST_SUITE_P(Majors, Refused, ::testing::ValuesIn(testing::available_majors()));

TEST(Connect, NobodyThere) {
  const testing::PortReservation port;
  const auto error = refused("host=127.0.0.1 user=u port=" + std::to_string(port.port()));
  EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.describe();
  EXPECT_FALSE(error.hint().empty());
  EXPECT_EQ(refused("service=no_such_service_pgstrata").code(), ErrorCode::not_found);
}

// A server process that hangs: its kernel still answers, so no keepalive tells.
TEST(Connect, AnAnswerThatDoesNotComeIsToldAfterTheLimit) {
  auto& server = shared_server(15);
  const Cancellation cancellation;
  auto connection = must(ReplicationConnection::connect(
      url_of(server.url()),
      {.application_name = "to_be_frozen", .on_notice = {}, .answer_limit = std::chrono::milliseconds(300)},
      cancellation));
  must(connection.identify_system());
  const auto pid = static_cast<pid_t>(std::stol(
      server.query_value("select pid from pg_stat_activity where application_name = 'to_be_frozen'")));
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  const auto error = must_fail(connection.identify_system());
  EXPECT_EQ(::kill(pid, SIGCONT), 0);
  EXPECT_EQ(error.code(), ErrorCode::unavailable);
  EXPECT_NE(error.describe().find("silent"), std::string::npos) << error.describe();
}

// Accepts one connection and answers the first bytes with `answer`, or never when it is empty.
class FakeServer {
 public:
  explicit FakeServer(std::string answer) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, generic, size), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    EXPECT_EQ(::getsockname(listener_, generic, &size), 0);
    url_ = "host=127.0.0.1 sslmode=disable gssencmode=disable user=u port=" +
           std::to_string(ntohs(address.sin_port));
    if (!answer.empty()) {
      thread_ = std::thread([this, answer = std::move(answer)] {
        const int peer = ::accept(listener_, nullptr, nullptr);
        std::array<char, 1024> request{};
        EXPECT_GT(::recv(peer, request.data(), request.size(), 0), 0);
        EXPECT_EQ(::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(answer.size()));
        ::close(peer);
      });
    }
  }
  ~FakeServer() {
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
  }
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  int listener_;
  std::string url_;
  std::thread thread_;
};

std::string error_message(const std::string& sqlstate, const std::string& text) {
  using namespace std::string_literals;
  const std::string body = "SFATAL\0C"s + sqlstate + "\0M"s + text + "\0\0"s;
  const auto size = static_cast<std::uint32_t>(body.size() + 4);
  return "E"s + static_cast<char>(size >> 24) + static_cast<char>(size >> 16) + static_cast<char>(size >> 8) +
         static_cast<char>(size) + body;
}

TEST(Connect, APoolerIsRecognised) {
  const FakeServer pooler(error_message("08P01", "unsupported startup parameter: replication"));
  const auto error = refused(pooler.url());
  EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.describe();
  EXPECT_NE(error.hint().find("pooler"), std::string::npos) << error.hint();
}

TEST(Connect, AStartingServerIsWorthAnotherTry) {
  const FakeServer starting(error_message("57P03", "das Datenbanksystem startet"));
  EXPECT_EQ(refused(starting.url()).code(), ErrorCode::unavailable);
}

TEST(Connect, SomethingElseThanPostgres) {
  const FakeServer web("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  const auto error = refused(web.url());
  EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.describe();
}

TEST(Connect, AServerThatNeverAnswersRunsIntoTheTimeout) {
  const FakeServer silent("");
  const auto begin = std::chrono::steady_clock::now();
  const auto error = refused(silent.url() + " connect_timeout=1");
  EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.describe();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

// A port whose packets nobody answers: its queue of connections to be accepted is full.
class BlackHole {
 public:
  BlackHole() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 0) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
      throw std::runtime_error("could not listen on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    for (auto& client : clients_) {
      client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      static_cast<void>(::connect(client, generic, size));
    }
  }
  ~BlackHole() {
    for (const int client : clients_) ::close(client);
    ::close(listener_);
  }
  BlackHole(const BlackHole&) = delete;
  BlackHole& operator=(const BlackHole&) = delete;
  [[nodiscard]] int port() const { return port_; }

 private:
  int listener_;
  int port_ = 0;
  std::array<int, 4> clients_{};
};

TEST(Connect, TheNextHostIsTriedWhereNobodyAnswers) {
  const BlackHole hole;
  const FakeServer starting(error_message("57P03", "the database system is starting up"));
  const auto port = starting.url().substr(starting.url().find("port=") + 5);
  const auto error = refused(fmt::format(
      "host=127.0.0.1,127.0.0.1 port={},{} user=u sslmode=disable gssencmode=disable connect_timeout=2",
      hole.port(), port.substr(0, port.find(' '))));
  EXPECT_NE(error.describe().find("starting"), std::string::npos) << error.describe();
}

TEST(Connect, CancellationEndsTheWait) {
  const FakeServer silent("");
  Cancellation cancellation;
  std::thread stopper([&] { cancellation.request(); });
  const auto error = must_fail(ReplicationConnection::connect(url_of(silent.url()), {}, cancellation));
  stopper.join();
  EXPECT_EQ(error.code(), ErrorCode::cancelled);
}

TEST(Connect, OnlyVersions13To18) {
  const auto url = url_of("host=h");
  EXPECT_EQ(must_fail(check_server_version(12'00'17, url)).code(), ErrorCode::unsupported);
  EXPECT_NE(must_fail(check_server_version(9'06'24, url)).message().find("9.6"), std::string::npos);
  EXPECT_EQ(must_fail(check_server_version(19'00'00, url)).code(), ErrorCode::unsupported);
  must(check_server_version(13'00'00, url));
  must(check_server_version(18'00'04, url));
}

}  // namespace
}  // namespace pgstrata
