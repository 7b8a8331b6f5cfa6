// The WAL receiver when the source, the way there or the repository fails.
#include <sys/wait.h>
#include <unistd.h>

#include "pg/format/wal_index.h"
#include "repo/lease.h"
#include "storage/disk/disk_store.h"
#include "storage/fault/fault_store.h"
#include "wal_receiver_test.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::_;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

class WalReceiverFaultsTest : public ::testing::Test {
 protected:
  static ServerOptions keeping_wal(std::vector<std::string> settings = {}) {
    settings.emplace_back("wal_keep_size = '2GB'");
    return {.settings = std::move(settings)};
  }
  ReceptionOptions reception(const PostgresServer& server, const ClusterRecord& cluster) {
    return {.store = store_, .url = server.url(), .cluster = cluster};
  }
  static void write_and_wait(const PostgresServer& server, Reception& receiving) {
    write_rows(server, 1000);
    receiving.wait_durable(flushed(server));
  }

  MemoryStore store_;
  CapturedLog log_;
};

TEST_F(WalReceiverFaultsTest, ComesBackWhenTheSourceIsKilledAndRestarted) {
  PostgresServer server(keeping_wal());
  server.start();
  Reception receiving(reception(server, register_cluster(server)));
  for (int round = 0; round < 3; ++round) {
    write_and_wait(server, receiving);
    server.kill9();
    receiving.wait_state(WalReceiverState::reconnecting);
    server.start();
    write_and_wait(server, receiving);
  }
  const Lsn end = flushed(server);
  receiving.wait_durable(end);
  expect_as_on_server(receiving.space(), server, end);
  EXPECT_EQ(log_.problems().size(), 3U) << "each loss is told once";
  EXPECT_THAT(receiving.gaps(), IsEmpty());
}

TEST_F(WalReceiverFaultsTest, ALossThatLastsIsToldAgainAndSoIsItsEnd) {
  PostgresServer server(keeping_wal());
  server.start();
  auto given = reception(server, register_cluster(server));
  given.timings.tell_change_after = milliseconds(1);
  given.timings.tell_again_after = milliseconds(500);
  Reception receiving(given);
  write_and_wait(server, receiving);
  const auto received = [&] {
    auto told = log_.remarks();
    std::erase_if(told, [](const auto& remark) { return !remark.contains("receiving"); });
    return told;
  };
  EXPECT_THAT(received(),
              ElementsAre(MatchesRegex("stream of app: receiving from [0-9A-F/]+ on timeline 1")));
  server.kill9();
  const auto told = [&](std::string_view reason) {
    return std::ranges::count_if(log_.problems(), [&](const auto& problem) {
      return problem.contains("still not receiving: ") && problem.contains(reason) &&
             problem.ends_with("trying again");
    });
  };
  // The connection was lost; then none can be made: another reason, then the same one again.
  wait_until(
      "the loss to be told again", [&] { return told("refused") >= 2; }, seconds(20));
  server.start();
  write_and_wait(server, receiving);
  EXPECT_THAT(received(),
              ElementsAre(_, MatchesRegex("stream of app: receiving again from [0-9A-F/]+ on timeline 1")));
}

TEST_F(WalReceiverFaultsTest, ConnectionsThatAreCutUnderLoadLoseNothing) {
  PostgresServer server(keeping_wal());
  server.start();
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = test_seed(3)});
  ledger.start();
  Reception receiving(reception(server, register_cluster(server)));
  for (int round = 1; round <= 5; ++round) {
    ledger.wait_for_commits(static_cast<std::size_t>(round) * 300);
    wait_until("a walsender to end", [&] {
      return server.query_value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication") != "0";
    });
  }
  ledger.stop();
  const Lsn end = flushed(server);
  receiving.wait_durable(end);
  expect_as_on_server(receiving.space(), server, end);
}

TEST_F(WalReceiverFaultsTest, ASilentSourceIsToldAsStalled) {
  PostgresServer server(keeping_wal());
  server.start();
  auto given = reception(server, register_cluster(server));
  given.timings.probe_after = milliseconds(200);
  given.timings.stalled_after = milliseconds(1000);
  Reception receiving(given);
  write_and_wait(server, receiving);
  const auto walsender = std::stoi(server.query_value("SELECT pid FROM pg_stat_replication"));
  ASSERT_EQ(::kill(walsender, SIGSTOP), 0);
  wait_until(
      "the stall", [&] { return receiving.has_been(WalReceiverState::stalled); }, seconds(10));
  ASSERT_EQ(::kill(walsender, SIGCONT), 0);
  write_and_wait(server, receiving);
  ASSERT_FALSE(log_.problems().empty());
  EXPECT_THAT(log_.problems().front(), HasSubstr("stream of app stalled: no word from the source for 1 s"));
}

TEST_F(WalReceiverFaultsTest, StopsWithinTwoSecondsAlsoWhileTheSourceIsSilentOrAway) {
  PostgresServer server(keeping_wal());
  server.start();
  const auto cluster = register_cluster(server);
  {
    Reception receiving(reception(server, cluster));
    write_and_wait(server, receiving);
    const auto walsender = std::stoi(server.query_value("SELECT pid FROM pg_stat_replication"));
    ASSERT_EQ(::kill(walsender, SIGSTOP), 0);
    EXPECT_LT(receiving.stop(), seconds(2));
    ASSERT_EQ(::kill(walsender, SIGCONT), 0);
  }
  Reception receiving(reception(server, cluster));
  write_and_wait(server, receiving);
  server.kill9();
  receiving.wait_state(WalReceiverState::reconnecting);
  EXPECT_LT(receiving.stop(), seconds(2));
}

TEST_F(WalReceiverFaultsTest, ASlotThatIsGoneIsMadeAgainAndNothingIsLostWhileTheWalIsThere) {
  PostgresServer server(keeping_wal());
  server.start();
  const auto cluster = register_cluster(server);
  {
    Reception receiving(reception(server, cluster));
    write_and_wait(server, receiving);
    receiving.stop();
  }
  server.query("SELECT pg_drop_replication_slot('pgstrata_app')");
  write_rows(server, 5000);
  server.query("SELECT pg_switch_wal()");
  Reception receiving(reception(server, cluster));
  write_and_wait(server, receiving);
  expect_as_on_server(receiving.space(), server, flushed(server));
  EXPECT_THAT(receiving.gaps(), IsEmpty());
  EXPECT_THAT(log_.problems(), ElementsAre(HasSubstr("is gone from the source")));
}

TEST_F(WalReceiverFaultsTest, WalThatTheSourceHasRemovedIsAGapAndReceivingGoesOn) {
  for (const int major : {15, 13}) {
    SCOPED_TRACE(major);
    MemoryStore store;
    PostgresServer server(
        {.major = major,
         .wal_segment_mib = 1,
         .settings = {"max_wal_size = '4MB'", "min_wal_size = '2MB'", "wal_keep_size = 0"}});
    server.start();
    const auto cluster = register_cluster(server);
    Lsn end;
    {
      Reception receiving({.store = store, .url = server.url(), .cluster = cluster});
      write_and_wait(server, receiving);
      receiving.stop();
      end = receiving.status().durable;
    }
    server.query("SELECT pg_drop_replication_slot('pgstrata_app')");
    for (int i = 0; i < 4; ++i) {
      write_rows(server, 10'000);
      server.query("CHECKPOINT");
    }
    Reception receiving({.store = store, .url = server.url(), .cluster = cluster});
    write_and_wait(server, receiving);
    ASSERT_EQ(receiving.gaps().size(), 1U);
    const auto gap = receiving.gaps().front();
    EXPECT_EQ(gap.from, end);
    EXPECT_GT(gap.to, gap.from);
    EXPECT_EQ(gap.to.value % cluster.wal_segment_bytes, 0U);
    EXPECT_TRUE(std::ranges::any_of(log_.problems(), [](const auto& problem) {
      return problem.find("has removed WAL that was not received") != std::string::npos;
    }));
    // The new stretch is whole, and a restart goes on with it.
    const Lsn durable = receiving.status().durable;
    receiving.stop();
    Reception again({.store = store, .url = server.url(), .cluster = cluster});
    write_and_wait(server, again);
    EXPECT_THAT(again.gaps(), IsEmpty());
    const auto inventory = must(WalInventory::load(again.space(), cluster.wal_segment_bytes));
    EXPECT_GE(
        must(read_wal(again.space(), inventory, {1}, gap.to, durable, [](Lsn, ByteView) { return true; })),
        durable);
  }
}

TEST_F(WalReceiverFaultsTest, AnotherClusterBehindTheUrlIsRefused) {
  PostgresServer server;
  server.start();
  auto cluster = register_cluster(server);
  ++cluster.system_identifier.value;
  Reception receiving(reception(server, cluster));
  const auto ended = receiving.wait();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::failed);
  EXPECT_THAT(ended.error().describe(), HasSubstr("another cluster"));
  EXPECT_THAT(ended.error().hint(), HasSubstr("pgstrata add"));
}

TEST_F(WalReceiverFaultsTest, ASlotInUseIsWaitedForThenToldAsBusy) {
  PostgresServer server;
  server.start();
  const auto cluster = register_cluster(server);
  MemoryStore others;
  Reception holder({.store = others, .url = server.url(), .cluster = cluster});
  write_and_wait(server, holder);
  auto given = reception(server, cluster);
  given.timings.slot_busy_limit = milliseconds(500);
  Reception second(given);
  const auto ended = second.wait();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::busy);
  given.timings.slot_busy_limit = seconds(60);
  Reception third(given);
  third.wait_state(WalReceiverState::reconnecting);
  holder.stop();
  write_and_wait(server, third);
}

TEST_F(WalReceiverFaultsTest, AFullRepositoryConfirmsNothingAndLosesNothing) {
  PostgresServer server(keeping_wal());
  server.start();
  FaultStore full(store_, 1);
  Reception receiving({.store = full, .url = server.url(), .cluster = register_cluster(server)});
  write_and_wait(server, receiving);
  full.set_fault({.at_step = full.steps() + 1, .step_count = 1'000'000, .code = ErrorCode::no_space});
  const Lsn before = receiving.status().durable;
  write_rows(server, 20'000);
  receiving.wait_state(WalReceiverState::blocked);
  EXPECT_GE(before, must(parse_lsn(server.query_value("SELECT restart_lsn FROM pg_replication_slots"))));
  full.clear_fault();
  write_and_wait(server, receiving);
  expect_as_on_server(receiving.space(), server, flushed(server));
  EXPECT_THAT(log_.problems(), ElementsAre(HasSubstr("the repository does not take WAL")));
}

// A standby of `primary`, made with pg_basebackup in `home`.
std::unique_ptr<PostgresServer> make_standby(const PostgresServer& primary, const TemporaryDirectory& home) {
  const auto directory = home.path() / "standby";
  const auto made = run_program({primary.binaries().program("pg_basebackup"), "-d", primary.conninfo(), "-D",
                                 directory.string(), "-X", "stream", "-c", "fast", "-R"});
  if (made.exit_code != 0) throw TestFailure(made.describe());
  return std::unique_ptr<PostgresServer>(
      new PostgresServer(PostgresServer::adopt(directory, {"wal_keep_size=2GB"})));
}

std::string either_url(const PostgresServer& first, const PostgresServer& second) {
  return fmt::format("host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres", first.port(),
                     second.port());
}

TEST_F(WalReceiverFaultsTest, ARepositoryThatIsAwayForLongerThanTheLeaseIsWaitedFor) {
  PostgresServer server(keeping_wal());
  server.start();
  const TemporaryDirectory folder;
  const auto here = folder.path() / "repository";
  const auto store = must(DiskStore::open_or_make(here));
  const auto lease = must(Lease::acquire(Reception::space_over(*store), "stream", "stream", system_clock(),
                                         {.time_to_live = milliseconds(600)}));
  ReceptionOptions options{.store = *store, .url = server.url(), .cluster = register_cluster(server)};
  options.timings.tell_change_after = options.timings.tell_again_after = milliseconds(50);
  options.still_allowed = [&] { return lease.check(); };
  Reception receiving(options);
  write_and_wait(server, receiving);
  std::filesystem::rename(here, folder.path() / "elsewhere");
  write_rows(server, 1000);
  wait_until("the lease to be past its time", [&] { return !lease.check(); });
  EXPECT_EQ(lease.check().error().code(), ErrorCode::unavailable);
  receiving.wait_state(WalReceiverState::blocked);
  const Lsn before = receiving.status().durable;
  write_rows(server, 1000);
  wait_until("another try", [&] {
    return std::ranges::any_of(log_.problems(),
                               [](const auto& line) { return line.contains("still does not take WAL"); });
  });
  EXPECT_EQ(receiving.status().durable, before);
  EXPECT_LT(before, flushed(server));
  std::filesystem::rename(folder.path() / "elsewhere", here);
  write_and_wait(server, receiving);
  EXPECT_TRUE(lease.check());
  expect_as_on_server(receiving.space(), server, flushed(server));
  EXPECT_THAT(receiving.gaps(), IsEmpty());
}

TEST_F(WalReceiverFaultsTest, AHistoryThatIsNoneIsNotStored) {
  PostgresServer server(keeping_wal());
  server.start();
  server.restart_promoted();
  const auto file = server.data_directory() / "pg_wal/00000002.history";
  const auto history = must(read_file(file));
  const auto cluster = register_cluster(server);
  // Both of which the server itself takes for a history.
  for (const auto& sent : {std::string("1\t0/1000000garbage\n"), std::string(17U << 20, '#')}) {
    ASSERT_TRUE(write_file(file, as_byte_view(sent)));
    Reception receiving(reception(server, cluster));
    const auto ended = receiving.wait();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code(), ErrorCode::failed);
    EXPECT_THAT(ended.error().describe(), HasSubstr("the source sent no history of timeline 2"));
    EXPECT_LT(ended.error().describe().size(), 1000U);
    EXPECT_FALSE(must(get_timeline_history(receiving.space(), {2})));
  }
  ASSERT_TRUE(write_file(file, history));
  Reception receiving(reception(server, cluster));
  write_and_wait(server, receiving);
  EXPECT_EQ(must(get_timeline_history(receiving.space(), {2})), history);
}

TEST_F(WalReceiverFaultsTest, APromotionIsFollowed) {
  PostgresServer primary(keeping_wal());
  primary.start();
  const TemporaryDirectory home;
  const auto standby = make_standby(primary, home);
  standby->start();
  Reception receiving(
      {.store = store_, .url = either_url(primary, *standby), .cluster = register_cluster(primary)});
  write_and_wait(primary, receiving);
  const Lsn left = flushed(primary);
  wait_until("the standby to have it", [&] {
    return must(parse_lsn(standby->query_value("SELECT pg_last_wal_replay_lsn()"))) >= left;
  });
  primary.stop();
  standby->promote();
  write_and_wait(*standby, receiving);
  wait_until("timeline 2", [&] { return receiving.status().timeline == TimelineId{2}; });
  const Lsn end = flushed(*standby);
  receiving.wait_durable(end);
  expect_as_on_server(receiving.space(), *standby, end, {2});
  EXPECT_TRUE(must(get_timeline_history(receiving.space(), {2})).has_value());
  const auto inventory = must(WalInventory::load(receiving.space(), 16U << 20));
  EXPECT_FALSE(inventory.timelines().at({1}).rbegin()->second.partial.empty());
  EXPECT_THAT(receiving.gaps(), IsEmpty());
  // A new process goes on with the new timeline.
  receiving.stop();
  Reception again(
      {.store = store_, .url = standby->url(), .cluster = register_cluster(*standby, "pgstrata_b")});
  write_and_wait(*standby, again);
  EXPECT_EQ(again.status().timeline, TimelineId{2});
}

TEST_F(WalReceiverFaultsTest, AStandbyPromotedBehindUsIsFollowedFromWhereItForked) {
  PostgresServer primary(keeping_wal());
  primary.start();
  const TemporaryDirectory home;
  const auto standby = make_standby(primary, home);
  standby->start();
  Reception receiving(
      {.store = store_, .url = either_url(primary, *standby), .cluster = register_cluster(primary)});
  write_and_wait(primary, receiving);
  standby->stop();
  write_and_wait(primary, receiving);  // what the standby never gets
  const Lsn ahead = flushed(primary);
  primary.kill9();
  receiving.wait_state(WalReceiverState::reconnecting);
  standby->start();
  standby->promote();
  wait_until("the new timeline", [&] { return receiving.status().timeline == TimelineId{2}; });
  write_and_wait(*standby, receiving);
  expect_as_on_server(receiving.space(), *standby, flushed(*standby), {2});
  const auto inventory = must(WalInventory::load(receiving.space(), 16U << 20));
  const auto& first = inventory.timelines().at({1});
  const auto kept = [](Lsn, ByteView) { return true; };
  EXPECT_GE(must(read_wal(receiving.space(), inventory, {1}, first.begin()->first, ahead, kept)), ahead)
      << "what was received stays";
  EXPECT_TRUE(std::ranges::any_of(log_.problems(), [&](const auto& problem) {
    return problem.find("left timeline 1 at") != std::string::npos;
  }));
}

// A receiver in a process of its own, over a folder.
class ReceiverProcess {
 public:
  ReceiverProcess(const std::filesystem::path& repository, const PostgresServer& server,
                  const ClusterRecord& cluster) {
    const auto url = server.url();
    pid_ = fork();
    if (pid_ != 0) return;
    {
      auto store = must(DiskStore::open_or_make(repository));
      Reception receiving({.store = *store, .url = url, .cluster = cluster});
      static_cast<void>(receiving.wait(std::chrono::minutes(10)));
    }
    _exit(0);
  }
  ~ReceiverProcess() { kill9(); }
  void kill9() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

// When the commits ended that the WAL from `from` on holds.
std::set<Timestamp> commits_in(const ClusterSpace& space, const ClusterRecord& cluster) {
  class Commits : public WalRecordHandler, private WalEventHandler {
   public:
    std::set<Timestamp> times;

   private:
    Result<void> record(const WalRecord& record) override { return interpret_wal_record(record, *this); }
    void transaction_end(const TransactionEnd& end) override {
      if (end.committed) times.insert(end.time);
    }
    void restore_point(const RestorePoint&) override {}
    void checkpoint(const Checkpoint&) override {}
    void timeline_switch(const TimelineChange&) override {}
    void database_created(Oid) override {}
    void database_dropped(Oid) override {}
    void change(const RelationFile&, ChangeKind, std::uint32_t) override {}
    void page_image(const RelationFile&, std::size_t) override {}
  };
  const auto inventory = must(WalInventory::load(space, cluster.wal_segment_bytes));
  const Lsn from = inventory.timelines().at({1}).begin()->first;
  auto reader =
      must(WalRecordReader::create({.start = from, .segment_size_bytes = cluster.wal_segment_bytes}));
  Commits commits;
  must(read_wal(space, inventory, {1}, from, {UINT64_MAX}, [&](Lsn, ByteView bytes) -> Result<bool> {
    PGS_CHECK(reader.feed(bytes, commits));
    return true;
  }));
  return commits.times;
}

TEST_F(WalReceiverFaultsTest, AsSynchronousStandbyNoAcknowledgedCommitIsLostWhateverIsKilled) {
  PostgresServer server(keeping_wal());
  server.start();
  const auto cluster = register_cluster(server);
  const TemporaryDirectory home;
  const auto repository = home.path() / "repository";
  ReceiverProcess first(repository, server, cluster);
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = test_seed(5)});
  server.configure({"synchronous_standby_names = 'pgstrata'"});
  server.reload();
  wait_until("commits to wait for the receiver", [&] {
    return server.query_value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1";
  });
  ledger.start();
  ledger.wait_for_commits(300);
  first.kill9();  // commits wait now
  const auto acknowledged = ledger.acknowledged_count();
  ReceiverProcess second(repository, server, cluster);
  ledger.wait_for_commits(acknowledged + 300);
  second.kill9();
  server.kill9();
  ledger.stop(seconds(1));

  auto store = must(DiskStore::open_or_make(repository));
  const auto durable = commits_in(Reception::space_over(*store), cluster);
  std::size_t checked = 0;
  for (const auto& entry : ledger.acknowledged()) {
    // The server tells a commit's time only afterwards; without it there is nothing to look for.
    if (!entry.committed.valid()) continue;
    EXPECT_TRUE(durable.contains(entry.committed)) << "acknowledged at " << to_rfc3339(entry.acknowledged);
    ++checked;
  }
  EXPECT_GE(checked, 500U);
}

}  // namespace
}  // namespace pgstrata::testing
