// Real servers, started and watched as the product does it, on every major that this machine has.
#include "pg/server/server_instance.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pg/wire/sql_connection.h"
#include "support/postgres_server.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

constexpr auto limit = std::chrono::seconds(60);

template <class T>
T must(Result<T> result) {
  if (!result.has_value())
    throw testing::TestFailure(result.error().describe() + " | " + result.error().hint());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class T>
Error must_fail(Result<T> result) {
  if (result.has_value()) throw testing::TestFailure("no error where one is due");
  return std::move(result).error();
}

// A variable of this process for one test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

class ServerInstanceTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] ServerOptions options() const {
    return {.data_directory = cluster_.data_directory(),
            .log_file = cluster_.socket_directory() / "server.log",
            .socket_directory = cluster_.socket_directory(),
            .port = static_cast<std::uint16_t>(cluster_.port()),
            .listen_addresses = "",
            .settings = {}};
  }
  [[nodiscard]] ServerInstallation installation() const {
    const ScopedVariable variable("PGSTRATA_PG_BINDIR",
                                  "/nonexistent:" + cluster_.binaries().directory().string());
    return must(ServerInstallation::find(GetParam()));
  }
  std::string value(const ServerInstance& server, std::string_view query) const {
    auto connection = must(SqlConnection::connect(must(server.url("postgres", "postgres")), {}, never_));
    return must(connection.query_value(query));
  }
  void touch(const std::string& name) const { (void)std::ofstream(cluster_.data_directory() / name); }

  // What initdb writes into the control file, below which recovery refuses to start.
  testing::PostgresServer cluster_{{.major = GetParam(), .settings = {"max_connections = 100"}}};
  const Cancellation never_;
};

TEST_P(ServerInstanceTest, LifeOfAServer) {
  EXPECT_EQ(must(major_of_data_directory(cluster_.data_directory())), GetParam());
  EXPECT_EQ(must_fail(ServerInstance::attach(cluster_.data_directory())).code(), ErrorCode::not_found);
  auto settings = options();
  settings.settings = {{"application_name", "of its own"}, {"lc_messages", "C"}};
  auto server = must(ServerInstance::start(installation(), settings));
  must(server.wait_for_phase(ServerPhase::accepts_writes, limit, never_));
  EXPECT_EQ(must(server.phase()), ServerPhase::accepts_writes);
  EXPECT_EQ(value(server, "show application_name"), "pgstrata");
  EXPECT_EQ(value(server, "show listen_addresses"), "");
  EXPECT_EQ(value(server, "select pg_is_in_recovery()"), "f");
  EXPECT_EQ(must_fail(ServerInstance::start(installation(), settings)).code(), ErrorCode::busy);

  // It leads a session of its own and goes on without its starter.
  EXPECT_EQ(::getsid(server.pid()), server.pid());
  const pid_t pid = server.pid();
  server.leave_running();
  { const auto dropped = std::move(server); }
  auto attached = must(ServerInstance::attach(cluster_.data_directory()));
  EXPECT_EQ(attached.pid(), pid);
  EXPECT_EQ(must(attached.phase()), ServerPhase::accepts_writes);
  EXPECT_EQ(value(attached, "select 1"), "1");
  must(attached.stop(StopMode::fast, limit));
  must(attached.stop(StopMode::fast, limit));
  EXPECT_EQ(must(attached.phase()), ServerPhase::ended);
  EXPECT_EQ(must_fail(ServerInstance::attach(cluster_.data_directory())).code(), ErrorCode::not_found);
}

TEST_P(ServerInstanceTest, RecoveryEndsAsItIsTold) {
  touch("standby.signal");
  {
    auto standby = must(ServerInstance::start(installation(), options()));
    must(standby.wait_for_phase(ServerPhase::accepts_reads, limit, never_));
    EXPECT_EQ(must(standby.phase()), ServerPhase::accepts_reads);
    const auto error =
        must_fail(standby.wait_for_phase(ServerPhase::accepts_writes, std::chrono::milliseconds(50), never_));
    EXPECT_EQ(error.code(), ErrorCode::unavailable);
    Cancellation requested;
    requested.request();
    EXPECT_EQ(must_fail(standby.wait_for_phase(ServerPhase::accepts_writes, limit, requested)).code(),
              ErrorCode::cancelled);
    // Dropping it stops it.
  }
  EXPECT_EQ(must_fail(ServerInstance::attach(cluster_.data_directory())).code(), ErrorCode::not_found);

  std::filesystem::remove(cluster_.data_directory() / "standby.signal");
  touch("recovery.signal");
  auto settings = options();
  settings.settings = {
      {"restore_command", "false"}, {"recovery_target", "immediate"}, {"recovery_target_action", "shutdown"}};
  auto once = must(ServerInstance::start(installation(), settings));
  // Nothing to recover: it stops at once in good order, or because it could not.
  EXPECT_EQ(must_fail(once.wait_for_phase(ServerPhase::accepts_writes, limit, never_)).code(),
            ErrorCode::failed);
  EXPECT_EQ(must(once.phase()), ServerPhase::ended);
}

TEST_P(ServerInstanceTest, SaysWhyItEnded) {
  auto settings = options();
  settings.settings = {{"restore_command", "false"}, {"recovery_target_name", "never_made"}};
  touch("recovery.signal");
  auto server = must(ServerInstance::start(installation(), settings));
  const auto error = must_fail(server.wait_for_phase(ServerPhase::accepts_writes, limit, never_));
  EXPECT_EQ(error.code(), ErrorCode::failed);
  EXPECT_THAT(error.message(),
              ::testing::HasSubstr("recovery ended before configured recovery target was reached"));
  EXPECT_THAT(error.hint(), ::testing::HasSubstr("server.log"));

  settings.settings = {{"no_such_setting", "1"}};
  auto wrong = must(ServerInstance::start(installation(), settings));
  const auto again = must_fail(wrong.wait_for_phase(ServerPhase::accepts_writes, limit, never_));
  EXPECT_THAT(again.message(), ::testing::HasSubstr("no_such_setting"));
  // Not the words of the run before.
  EXPECT_THAT(again.message(), ::testing::Not(::testing::HasSubstr("recovery target")));
}

TEST_P(ServerInstanceTest, AStalePidFileMisleadsNobody) {
  const std::string stale = std::to_string(::getpid()) + "\n" + cluster_.data_directory().string() +
                            "\n1\n5432\n/tmp\n\n1 1\nready\n";
  std::ofstream(cluster_.data_directory() / "postmaster.pid") << stale;
  EXPECT_EQ(must_fail(ServerInstance::attach(cluster_.data_directory())).code(), ErrorCode::not_found);
}

INSTANTIATE_TEST_SUITE_P(Majors, ServerInstanceTest, ::testing::ValuesIn(testing::sample_majors()));

TEST(ServerInstallation, SaysWhichPackageIsMissing) {
  const auto error = must_fail(ServerInstallation::find(12));
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_THAT(error.hint(), ::testing::HasSubstr("postgresql-12"));
  const auto found = must(ServerInstallation::find(15));
  EXPECT_EQ(must_fail(found.program("no_such_program")).code(), ErrorCode::not_found);
  must(found.program("pg_ctl"));
}

TEST(ServerInstallation, RootIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto directory = TemporaryDirectory::create("root");
  ASSERT_TRUE(directory.has_value());
  EXPECT_EQ(must_fail(user_for_data_directory(directory->path())).code(), ErrorCode::permission);
}

}  // namespace
}  // namespace pgstrata
