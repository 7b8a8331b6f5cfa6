// The whole of the main job with the repository in a real S3 server, and what a network and a tired server do to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "support/http_fault_proxy.h"
#include "support/s3_server.h"
#include "support/test_seed.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Environment credentials(const S3Credentials& user) {
  return {{"AWS_ACCESS_KEY_ID", user.access_key},
          {"AWS_SECRET_ACCESS_KEY", user.secret_key},
          {"AWS_EC2_METADATA_DISABLED", "true"},
          {"AWS_REGION", S3Server::region()}};
}

class S3Test : public BranchedRowsTest {
 protected:
  void SetUp() override {
    BranchedRowsTest::SetUp();
    keep_in(location(), credentials(S3Server::owner()));
  }
  [[nodiscard]] std::string location() const {
    return fmt::format("s3://{}/prod?endpoint={}", bucket_, proxy_.endpoint());
  }
  void make_synchronous() {
    source_.configure({"synchronous_standby_names = '*'"});
    source_.reload();
    wait_until("commits to wait for the stream", [&] {
      return source_.query_value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1";
    });
  }
  // A window that is over once the source's clock has gone on by two seconds.
  Json prune() { return json_of({"prune", "app", "--config", policy_.string()}).at("clusters").at(0); }
  void wait_until_the_window_is_over() {
    const std::string time = server_time(source_);
    wait_until("the window to pass", [&] {
      return source_.query_value(fmt::format("SELECT now() > '{}'::timestamptz + interval '2 s'", time)) ==
             "t";
    });
    add_rows(1);
  }
  [[nodiscard]] std::vector<std::string> ids() const {
    std::vector<std::string> ids;
    for (const auto& snapshot : snapshots()) ids.push_back(snapshot.at("id"));
    return ids;
  }
  void expect_sound() const {
    const ProgramRun verified = pgstrata({"verify", "--read-all"});
    EXPECT_EQ(verified.exit_code, 0) << verified.describe();
    for (const auto& problem : json_of({"status", "app"}).at("clusters").at(0).at("problems"))
      EXPECT_NE(problem.at("code"), "coverage_gap") << problem;
  }
  // What a program needs to reach the server, that none of these may show or keep.
  static void expect_no_secret(const std::string& text) {
    EXPECT_THAT(text, Not(HasSubstr(S3Server::owner().secret_key)));
  }

  const std::string bucket_ = S3Server::shared().make_bucket();
  HttpFaultProxy proxy_{"127.0.0.1", S3Server::shared().port()};
  const std::filesystem::path policy_ = directory().write("retention.toml", "[retention]\nwindow = \"1s\"\n");
};

TEST_F(S3Test, WhatIsProtectedThereComesBack) {
  protect_rows();
  start_stream(source_);
  source_.query("CREATE TABLE big AS SELECT n, md5(n::text) word FROM generate_series(1, 200000) n");
  add_rows(500);
  source_.query("CHECKPOINT");
  add_rows(5);
  const Json rolled = json_of({"backup", "app"}).at("snapshot");
  EXPECT_EQ(rolled.at("kind"), "rolled");
  add_rows(20);
  const auto there = branch("b");
  EXPECT_EQ(digest_of_all(there.place()), digest_of_all(server_place(source_)));
  // The server of a branch is none of those who are told how to get at the repository.
  expect_no_secret(read_text(fmt::format("/proc/{}/environ", there.postmaster())));
  const auto restored = restore_and_start("restored", {});
  EXPECT_EQ(digest_of_all(server_place(*restored)), digest_of_all(server_place(source_)));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(restored->data_directory())) {
    if (entry.is_regular_file() && entry.file_size() < 1 << 20) expect_no_secret(read_text(entry.path()));
  }
  const ProgramRun verified = pgstrata({"verify", "--read-all"});
  EXPECT_EQ(verified.exit_code, 0) << verified.describe();
  const ProgramRun shown = pgstrata({"status"});
  EXPECT_EQ(shown.exit_code, 0) << shown.describe();
  EXPECT_THAT(shown.out, HasSubstr("s3://" + bucket_ + "/prod?endpoint="));
}

TEST_F(S3Test, KillsOfEverythingLoseNoAcknowledgedCommit) {
  protect_rows();
  start_stream(source_);
  make_synchronous();
  CommitLedger ledger({.conninfo = source_.conninfo(), .clients = 2, .seed = test_seed(1)});
  ledger.start();
  for (int round = 0; round < 3; ++round) {
    ledger.wait_for_commits(ledger.acknowledged_count() + 60);
    kill9_stream();
    start_stream(source_);
  }
  ledger.wait_for_commits(ledger.acknowledged_count() + 60);
  kill9_stream();
  source_.kill9();
  ledger.stop(std::chrono::seconds(1));
  const auto restored = restore_and_start("restored", {});
  EXPECT_THAT(ledger.check_all(restored->conninfo()), IsEmpty());
}

TEST_F(S3Test, FaultsOfEveryKindLoseNothing) {
  std::vector<HttpFault> kinds(4);
  kinds[0].status = 503;
  kinds[1].kind = HttpFaultKind::reset_before;
  kinds[2].kind = HttpFaultKind::lose_answer;
  kinds[3].kind = HttpFaultKind::cut_answer;
  proxy_.fail_at_random(0.1, test_seed(4), kinds);
  protect_rows();
  start_stream(source_);
  make_synchronous();
  CommitLedger ledger({.conninfo = source_.conninfo(), .clients = 2, .seed = test_seed(2)});
  ledger.start();
  ledger.wait_for_commits(40);
  source_.query("CHECKPOINT");
  ledger.wait_for_commits(ledger.acknowledged_count() + 20);
  EXPECT_EQ(json_of({"backup", "app"}).at("snapshot").at("kind"), "rolled");
  ledger.stop();
  stop_stream();
  const auto there = branch("b");
  EXPECT_THAT(ledger.check_all(there.conninfo()), IsEmpty());
  const ProgramRun verified = pgstrata({"verify", "--read-all"});
  EXPECT_EQ(verified.exit_code, 0) << verified.describe();
  EXPECT_GT(proxy_.faults(), 10);
}

TEST_F(S3Test, AStreamOutlastsAServerThatIsAway) {
  protect_rows();
  start_stream(source_);
  add_rows(10);
  HttpFault away;
  away.status = 503;
  away.code = "SlowDown";
  away.times = for_ever;
  proxy_.add(away);
  source_.query("INSERT INTO t SELECT generate_series(1, 10)");
  const int asked = proxy_.faults();
  wait_until("the stream to ask again", [&] { return proxy_.faults() > asked + 5; });
  proxy_.clear_faults();
  add_rows(10);
  stop_stream();
  EXPECT_EQ(branch("b").value(count), "1030");
}

TEST_F(S3Test, BranchesReadWhatTheyNeedAndNoneReadsItAgain) {
  protect_rows(1);
  source_.query(
      "CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) word FROM generate_series(1, 300000) n");
  wait_until_durable(source_);
  backup();
  add_rows(100);
  proxy_.delay_each(milliseconds(20));
  const auto sent_for = [&](const std::string& name) {
    const auto before = proxy_.bytes_to_clients();
    proxy_.forget_requests();
    const auto there = branch(name);
    EXPECT_EQ(there.value("SELECT count(*) FROM big WHERE word > ''"), "300000");
    EXPECT_EQ(run_branch("delete", {name}).exit_code, 0);
    return std::pair(proxy_.bytes_to_clients() - before, proxy_.requests().size());
  };
  const auto [first_bytes, first_requests] = sent_for("first");
  const auto [again_bytes, again_requests] = sent_for("second");
  EXPECT_GT(first_bytes, 10U << 20);
  EXPECT_LT(again_bytes, first_bytes / 50);
  EXPECT_LT(again_requests, first_requests * 3 / 4);
}

TEST_F(S3Test, ACopyGoesThereAndBackUnderOtherKeys) {
  Environment variables = credentials(S3Server::owner());
  keep_in(repository().string(), variables);
  protect_rows();
  source_.query(
      "CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) word FROM generate_series(1, 200000) n");
  wait_until_durable(source_);
  backup();
  add_rows(100);
  const std::vector<std::string> there{"copy", "--to", location(), "--to-key-file",
                                       path("key there").string()};
  proxy_.delay_each(milliseconds(20));
  {
    BackgroundPgstrata cut_short(there, environment());
    wait_until("some of it to be there", [&] { return proxy_.count("PUT", "/packs/") > 0; });
    cut_short.kill9();
  }
  const Json copied = json_of(there).at("clusters").at(0);
  EXPECT_GT(copied.at("objects"), 3);
  EXPECT_EQ(copied.at("snapshots"), 2);
  add_rows(100);
  EXPECT_LT(json_of(there).at("clusters").at(0).at("objects"), 5) << "what is new alone";
  EXPECT_EQ(json_of(there).at("clusters").at(0).at("objects"), 0);
  const auto expected = digest_of_all(server_place(source_));

  std::filesystem::rename(repository(), path("lost"));
  variables["PGSTRATA_KEY_FILE"] = path("key there").string();
  keep_in(location(), variables);
  const ProgramRun itself = pgstrata({"copy", "--to", location()});
  EXPECT_EQ(itself.exit_code, 2) << itself.describe();
  EXPECT_EQ(digest_of_all(branch("b").place()), expected);
  const ProgramRun back = pgstrata({"copy", "app", "--to", path("back").string(), "--to-no-encryption"});
  EXPECT_EQ(back.exit_code, 0) << back.describe();
  variables.erase("PGSTRATA_KEY_FILE");
  keep_in(path("back").string(), variables);
  const ProgramRun verified = run_pgstrata({"verify", "--no-encryption"}, environment());
  EXPECT_EQ(verified.exit_code, 0) << verified.describe();
  const auto restored = restore_and_start("restored", {"--no-encryption"});
  EXPECT_EQ(digest_of_all(server_place(*restored)), expected);
}

TEST_F(S3Test, RetentionTakesWhatNobodyReads) {
  protect_rows();
  const std::string read = ids().front();
  const auto look = branch("look", {"--lsn", snapshots().at(0).at("consistent_lsn").get<std::string>()});
  ASSERT_EQ(look.created().at("snapshot"), read);
  wait_until_the_window_is_over();
  backup();
  wait_until_the_window_is_over();
  const std::string last = backup().at("id");
  wait_until_the_window_is_over();
  ASSERT_EQ(ids().size(), 3U);
  const auto pruned = prune();
  EXPECT_GT(pruned.at("freed_bytes"), 0);
  EXPECT_EQ(ids(), (std::vector<std::string>{read, last}));
  expect_sound();
  // What it has not read yet.
  EXPECT_EQ(look.value("SELECT count(*) > 0 FROM pg_proc"), "t");
  branch_json("delete", "look");
  prune();
  EXPECT_EQ(ids(), std::vector<std::string>{last});
  expect_sound();
  EXPECT_EQ(restore_and_start("restored", {})->query_value(count), source_.query_value(count));
}

// No server that a repository is made for does that, but a cache on the way might.
TEST_F(S3Test, ListingsThatLagLoseNothing) {
  HttpFault lagging;
  lagging.kind = HttpFaultKind::stale_answer;
  lagging.target_part = "list-type=2";
  lagging.times = for_ever;
  protect_rows();
  wait_until_the_window_is_over();
  const std::string listed = backup().at("id");
  wait_until_the_window_is_over();
  prune();
  EXPECT_EQ(ids(), std::vector<std::string>{listed});

  start_stream(source_);
  source_.query("CREATE TABLE more AS SELECT n FROM generate_series(1, 1000) n");
  source_.query("SELECT pg_switch_wal()");
  add_rows(100);
  stop_stream();
  // It looks at what is there before it publishes: that is what the proxy keeps.
  const std::string unlisted = backup().at("id");
  proxy_.add(lagging);
  EXPECT_EQ(ids(), std::vector<std::string>{listed}) << "the proxy lags";
  // What it says is old, and no damage.
  const Json status = json_of({"status", "app"}).at("clusters").at(0);
  for (const auto& problem : status.at("problems"))
    EXPECT_THAT(problem.at("code").get<std::string>(), Not(::testing::AnyOf("coverage_gap", "damaged_wal")));
  start_stream(source_);
  add_rows(50);
  stop_stream();
  const auto pruned = prune();
  EXPECT_EQ(pruned.at("freed_bytes"), 0) << pruned;
  proxy_.clear_faults();

  EXPECT_EQ(ids(), (std::vector<std::string>{listed, unlisted}));
  expect_sound();
  const auto restored = restore_and_start("restored", {});
  EXPECT_EQ(digest_of_all(server_place(*restored)), digest_of_all(server_place(source_)));
}

TEST_F(S3Test, TwoCannotStreamAtOnce) {
  protect_rows();
  start_stream(source_);
  const ProgramRun second = pgstrata({"stream", "app"});
  EXPECT_EQ(second.exit_code, 7) << second.describe();
  EXPECT_THAT(second.err, HasSubstr("is held by process"));
}

TEST_F(S3Test, MistakesAreSaid) {
  const auto refusal = [&](const std::string& place, const S3Credentials& user) {
    keep_in(place, credentials(user));
    const ProgramRun run = pgstrata({"status"});
    EXPECT_NE(run.exit_code, 0);
    expect_no_secret(run.out + run.err);
    return fmt::format("{} {}", run.exit_code, run.err);
  };
  const auto server = "?endpoint=" + proxy_.endpoint();
  EXPECT_THAT(refusal(location(), S3Server::owner()), HasSubstr("there is nothing at s3://" + bucket_));
  EXPECT_THAT(refusal("s3://missing-bucket/x" + server, S3Server::owner()), HasSubstr("NoSuchBucket"));
  EXPECT_THAT(refusal(location(), S3Server::stranger()), HasSubstr("AccessDenied"));
  EXPECT_THAT(refusal(location(), {S3Server::owner().access_key, "x"}), HasSubstr("SignatureDoesNotMatch"));
  EXPECT_THAT(refusal(location(), {}), HasSubstr("no AWS credentials"));
  EXPECT_THAT(refusal("s3://" + bucket_ + "?endpoint=http://127.0.0.1:1", S3Server::owner()),
              HasSubstr("no answer from http://127.0.0.1:1"));
  keep_in(location(), credentials(S3Server::owner()));
  const ProgramRun made = pgstrata({"init"});
  EXPECT_EQ(made.exit_code, 0) << made.describe();
  const ProgramRun again = pgstrata({"init"});
  EXPECT_EQ(again.exit_code, 1) << again.describe();
  EXPECT_THAT(again.err, HasSubstr("already"));
}

}  // namespace
}  // namespace pgstrata::testing
