// Several machines with one repository in S3, and one of them cut off while it is at work: who takes over, and what the
// old one may still do when it is back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/main_job_fixture.h"
#include "support/commit_ledger.h"
#include "support/http_fault_proxy.h"
#include "support/other_machine.h"
#include "support/s3_server.h"
#include "support/sql.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using std::chrono::minutes;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A machine and its own way to the S3 server, so that a test sees what it sends.
struct Machine {
  Machine(const MachineNetwork& network, int number)
      : machine(network, number), s3("127.0.0.1", S3Server::shared().port(), network.here()) {}

  // What it has asked the repository to keep or to remove, but for the leases themselves.
  [[nodiscard]] std::vector<std::string> writes() const {
    std::vector<std::string> writes;
    for (const auto& request : s3.requests()) {
      const bool reads = request.starts_with("GET ") || request.starts_with("HEAD ");
      if (!reads && !request.contains("/leases/")) writes.push_back(request);
    }
    return writes;
  }

  OtherMachine machine;
  HttpFaultProxy s3;
};

class MachinesTest : public MainJobTest {
 protected:
  void SetUp() override {
    if (!MachineNetwork::possible()) GTEST_SKIP() << "SKIPPED: needs root and network namespaces";
    network_ = std::make_unique<MachineNetwork>();
    a_ = std::make_unique<Machine>(*network_, 2);
    b_ = std::make_unique<Machine>(*network_, 3);
    // A connection that is cut holds its slot for so long.
    source_ = make_source({"wal_sender_timeout = '10s'"});
    source_->query("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n");
    keep_in(location(S3Server::shared().endpoint()), credentials());
    protect(*source_, source_->url_at(network_->here(), "backup"));
    backup();
  }
  [[nodiscard]] std::unique_ptr<PostgresServer> make_source(std::vector<std::string> settings = {}) const {
    auto server = std::make_unique<PostgresServer>(
        ServerOptions{.settings = std::move(settings), .other_address = network_->here()});
    server->start();
    return server;
  }
  [[nodiscard]] std::string location(const std::string& endpoint) const {
    return fmt::format("s3://{}/prod?endpoint={}", bucket_, endpoint);
  }
  static Environment credentials() {
    return {{"AWS_ACCESS_KEY_ID", S3Server::owner().access_key},
            {"AWS_SECRET_ACCESS_KEY", S3Server::owner().secret_key},
            {"AWS_EC2_METADATA_DISABLED", "true"},
            {"AWS_REGION", S3Server::region()}};
  }
  std::unique_ptr<BackgroundPgstrata> start_on(const Machine& there, std::vector<std::string> arguments) {
    Environment variables = environment();
    variables["PGSTRATA_REPO"] = location(there.s3.endpoint());
    variables["PGSTRATA_STATE_DIR"] = path("state of " + there.machine.host_name());
    return std::make_unique<BackgroundPgstrata>(there.machine, std::move(arguments), variables);
  }
  ProgramRun run_on(const Machine& there, std::vector<std::string> arguments) {
    return start_on(there, std::move(arguments))->wait(minutes(3));
  }
  void wait_until_it_streams(BackgroundPgstrata& stream, const Machine& there) const {
    wait_until(
        "the stream of " + there.machine.host_name(),
        [&] {
          if (!stream.running()) throw TestFailure("the stream ended: " + stream.wait().describe());
          return source_->query_value(
                     fmt::format("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND "
                                 "client_addr = '{}'",
                                 there.machine.address())) == "1";
        },
        minutes(2));
  }
  // What `cluster` comes to when it is restored from that machine.
  std::unique_ptr<PostgresServer> restored_on(const Machine& there, const std::string& cluster) {
    const auto folder = path(fmt::format("{} on {}", cluster, there.machine.host_name()));
    const ProgramRun run = run_on(there, {"restore", cluster, "--to", folder.string()});
    if (run.exit_code != 0) throw TestFailure(run.describe());
    std::unique_ptr<PostgresServer> server(new PostgresServer(PostgresServer::adopt(folder)));
    server->start();
    return server;
  }
  void expect_sound() {
    const ProgramRun verified = pgstrata({"verify", "--read-all"});
    EXPECT_EQ(verified.exit_code, 0) << verified.describe();
    for (const auto& cluster : json_of({"status"}).at("clusters")) {
      for (const auto& problem : cluster.at("problems")) EXPECT_NE(problem.at("code"), "coverage_gap");
    }
  }

  const std::string bucket_ = S3Server::shared().make_bucket();
  std::unique_ptr<MachineNetwork> network_;
  std::unique_ptr<Machine> a_;
  std::unique_ptr<Machine> b_;
  std::unique_ptr<PostgresServer> source_;
};

TEST_F(MachinesTest, OneThatIsCutOffIsTakenOverFromAndPublishesNothingMore) {
  auto first = start_on(*a_, {"stream", "app"});
  wait_until_it_streams(*first, *a_);
  const ProgramRun refused = run_on(*b_, {"stream", "app"});
  EXPECT_EQ(refused.exit_code, 7) << refused.describe();
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("stream of app is held by process"), HasSubstr(a_->machine.host_name())));

  // Each machine has a cluster.
  const auto other = make_source();
  other->query("CREATE TABLE t AS SELECT n FROM generate_series(1, 2000) n");
  other->query("CREATE ROLE backup LOGIN REPLICATION");
  const ProgramRun added = run_on(*b_, {"add", "web", "--url", other->url_at(network_->here(), "backup")});
  EXPECT_EQ(added.exit_code, 0) << added.describe();
  const ProgramRun backed_up = run_on(*b_, {"backup", "web"});
  EXPECT_EQ(backed_up.exit_code, 0) << backed_up.describe();

  // What is acknowledged is in the repository.
  source_->configure({"synchronous_standby_names = '*'"});
  source_->reload();
  CommitLedger ledger({.conninfo = source_->conninfo(), .clients = 2});
  ledger.start();
  ledger.wait_for_commits(50);
  a_->machine.unplug();
  auto second = start_on(*b_, {"stream", "app"});
  wait_until_it_streams(*second, *b_);
  EXPECT_THAT(second->errors(), HasSubstr("waiting up to 30000 ms for a sign of life"));
  ledger.wait_for_commits(ledger.acknowledged_count() + 50);

  EXPECT_TRUE(first->running()) << first->wait().describe();
  a_->s3.forget_requests();
  a_->machine.plug_in();
  const ProgramRun fenced = first->wait(minutes(3));
  EXPECT_EQ(fenced.exit_code, 7) << fenced.describe();
  EXPECT_THAT(fenced.err, HasSubstr("stream of app was taken over by another process"));
  EXPECT_THAT(a_->writes(), IsEmpty());

  ledger.wait_for_commits(ledger.acknowledged_count() + 50);
  ledger.stop();
  const ProgramRun stopped = second->terminate();
  EXPECT_EQ(stopped.exit_code, 0) << stopped.describe();
  expect_sound();
  for (const Machine* there : {a_.get(), b_.get()}) {
    EXPECT_THAT(ledger.check_all(restored_on(*there, "app")->conninfo()), IsEmpty());
    EXPECT_EQ(restored_on(*there, "web")->query_value("SELECT count(*) FROM t"), "2000");
  }
}

TEST_F(MachinesTest, ABackupThatIsCutOffBeforeItsEndIsNotThereAfterwards) {
  // Its last step, on its way for as long as the machine is cut off.
  HttpFault hanging;
  hanging.kind = HttpFaultKind::hang;
  hanging.method = "PUT";
  hanging.target_part = "/snapshots/";
  hanging.times = for_ever;
  a_->s3.add(hanging);
  auto cut_off = start_on(*a_, {"backup", "app", "--base"});
  wait_until("all of the backup but its record", [&] { return a_->s3.count("PUT", "/snapshots/") > 0; });
  a_->machine.unplug();
  const ProgramRun taken_over = run_on(*b_, {"backup", "app", "--base"});
  EXPECT_EQ(taken_over.exit_code, 0) << taken_over.describe();
  a_->s3.forget_requests();
  a_->s3.clear_faults();
  a_->machine.plug_in();
  const ProgramRun fenced = cut_off->wait(minutes(3));
  EXPECT_EQ(fenced.exit_code, 7) << fenced.describe();
  EXPECT_THAT(fenced.err, HasSubstr("was taken over by another process"));
  EXPECT_THAT(a_->writes(), IsEmpty());
  EXPECT_EQ(snapshots().size(), 2U);
  expect_sound();
}

}  // namespace
}  // namespace pgstrata::testing
