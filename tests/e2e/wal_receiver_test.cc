// The WAL receiver on real servers, nothing going wrong.
#include "wal_receiver_test.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WalReceiverTest : public ::testing::Test {
 protected:
  static ServerOptions options(std::vector<std::string> settings = {}) {
    settings.emplace_back("wal_keep_size = '2GB'");  // so that all WAL can be compared
    return {.settings = std::move(settings)};
  }
  ReceptionOptions reception(const PostgresServer& server, const ClusterRecord& cluster) {
    return {.store = store_, .url = server.url(), .cluster = cluster};
  }

  MemoryStore store_;
  CapturedLog log_;
};

// How soon: commit_durable_test.cc.
TEST_F(WalReceiverTest, ACommitBecomesDurableIdleOrUnderLoad) {
  PostgresServer server(options());
  server.start();
  Reception receiving(reception(server, register_cluster(server)));
  receiving.wait_state(WalReceiverState::idle);
  for (int i = 0; i < 5; ++i) {
    write_rows(server, 10);
    receiving.wait_durable(flushed(server));
    receiving.wait_state(WalReceiverState::idle);
  }
  CommitLedger ledger({.conninfo = server.conninfo()});
  ledger.start();
  for (int i = 0; i < 20; ++i) {
    ledger.wait_for_commits(static_cast<std::size_t>(i + 1) * 100);
    receiving.wait_durable(flushed(server));
  }
  ledger.stop();
  const Lsn end = flushed(server);
  receiving.wait_durable(end);
  expect_as_on_server(receiving.space(), server, end);
  EXPECT_THAT(log_.problems(), ::testing::IsEmpty());
}

TEST_F(WalReceiverTest, SilenceIsMarkedAndRaisesNothing) {
  PostgresServer server(options({"autovacuum = off"}));
  server.start();
  auto given = reception(server, register_cluster(server));
  given.timings.probe_after = milliseconds(300);
  given.timings.stalled_after = milliseconds(2000);
  Reception receiving(given);
  write_rows(server, 10);
  const Lsn end = flushed(server);
  const auto committed = std::stoll(server.query_value(
      "SELECT (extract(epoch FROM (pg_last_committed_xact()).timestamp) * 1000000)::bigint"));
  const auto mark = [&] {
    const auto inventory = must(WalInventory::load(receiving.space(), 16U << 20));
    const auto segment = read_wal_segment(receiving.space(), inventory, {1}, inventory.segment_start(end));
    return segment ? segment->mark : WalMark();
  };
  // Within moments it is known that the commit was the last one.
  wait_until(
      "a mark", [&] { return mark().time.micros >= committed; }, seconds(10));
  EXPECT_GE(mark().lsn, end);
  receiving.wait_state(WalReceiverState::idle);
  const auto before = receiving.status().server_time;
  wait_until("words from an idle server",
             [&] { return receiving.status().server_time > before + seconds(3); });
  EXPECT_EQ(receiving.status().state, WalReceiverState::idle);
  EXPECT_FALSE(receiving.has_been(WalReceiverState::stalled));
  EXPECT_FALSE(receiving.has_been(WalReceiverState::reconnecting));
  EXPECT_THAT(log_.problems(), ::testing::IsEmpty());
}

TEST_F(WalReceiverTest, StopsWithinTwoSecondsUnderLoadAndGoesOnInTheMiddleOfASegment) {
  PostgresServer server(options());
  server.start();
  const auto cluster = register_cluster(server);
  CommitLedger ledger({.conninfo = server.conninfo(), .seed = test_seed(2)});
  ledger.start();
  for (int round = 1; round <= 6; ++round) {
    Reception receiving(reception(server, cluster));
    ledger.wait_for_commits(static_cast<std::size_t>(round) * 200);
    receiving.wait_durable(flushed(server));
    const Lsn durable_before = receiving.status().durable;
    EXPECT_LT(receiving.stop(), seconds(2));
    EXPECT_EQ(receiving.status().durable, receiving.status().received);
    EXPECT_GE(receiving.status().durable, durable_before);
    EXPECT_EQ(server.query_value("SELECT restart_lsn FROM pg_replication_slots"),
              to_string(receiving.status().durable))
        << "what is durable has been confirmed";
  }
  ledger.stop();
  const Lsn end = flushed(server);
  auto given = reception(server, cluster);
  given.until = end;
  Reception last(given);
  must(last.wait());
  expect_as_on_server(last.space(), server, end);
  EXPECT_THAT(log_.problems(), ::testing::IsEmpty());
}

TEST_F(WalReceiverTest, CatchesUpOnSegmentsOfEachSize) {
  for (const int mib : {1, 16, 64}) {
    SCOPED_TRACE(mib);
    MemoryStore store;
    auto with_size = options({"max_wal_size = '4GB'"});
    with_size.wal_segment_mib = mib;
    PostgresServer server(with_size);
    server.start();
    const auto cluster = register_cluster(server);
    for (int i = 0; i < 4; ++i) {
      write_rows(server, 40'000);
      if (i == 1) server.query("SELECT pg_switch_wal()");
    }
    const Lsn end = flushed(server);
    Reception receiving({.store = store, .url = server.url(), .cluster = cluster, .until = end});
    must(receiving.wait());
    EXPECT_GT(expect_as_on_server(receiving.space(), server, end), 50U << 20U);
    EXPECT_THAT(log_.problems(), ::testing::IsEmpty());
  }
}

// What the server has sent says nothing of what it has: a mark made from it would claim moments that are not
// here.
TEST_F(WalReceiverTest, TheSourcesEndIsKnownBeforeTheFirstByte) {
  PostgresServer server(options());
  server.start();
  const auto cluster = register_cluster(server);
  write_rows(server, 20'000);
  const Lsn end = flushed(server);
  Reception receiving(reception(server, cluster));
  receiving.wait_durable(end);
  receiving.wait_state(WalReceiverState::idle);
  EXPECT_GE(receiving.least_server_end(), end);
}

TEST_F(WalReceiverTest, TheNameThatTheUrlGivesItIsTheOneThatCommitsWaitFor) {
  PostgresServer server(options());
  server.start();
  auto given = reception(server, register_cluster(server));
  given.url = must(ConnectionUrl::parse(given.url)).with("application_name", "elsewhere").text();
  server.configure({"synchronous_standby_names = 'elsewhere'"});
  server.reload();
  Reception receiving(given);
  receiving.wait_synchronous(true);
  write_rows(server, 10);
}

// Set by a reload, while we stream.
TEST_F(WalReceiverTest, NoticesThatCommitsBeginToWait) {
  PostgresServer server(options());
  server.start();
  auto given = reception(server, register_cluster(server));
  given.timings.pause_interval = milliseconds(200);
  Reception receiving(given);
  receiving.wait_state(WalReceiverState::idle);
  EXPECT_FALSE(receiving.status().synchronous);
  server.configure({"synchronous_standby_names = 'pgstrata'"});
  server.reload();
  receiving.wait_synchronous(true);
  write_rows(server, 10);
  server.configure({"synchronous_standby_names = ''"});
  server.reload();
  receiving.wait_synchronous(false);
  write_rows(server, 10);
  receiving.wait_durable(flushed(server));
  EXPECT_FALSE(receiving.has_been(WalReceiverState::reconnecting));
  EXPECT_THAT(log_.problems(), ::testing::IsEmpty());
}

TEST_F(WalReceiverTest, SealedSegmentsSayWhatIsInThem) {
  PostgresServer server(options());
  server.start();
  auto given = reception(server, register_cluster(server));
  server.query("CREATE TABLE counted (id int)");
  server.query("INSERT INTO counted SELECT generate_series(1, 1234)");
  server.query("SELECT pg_switch_wal()");
  const auto file = server.query_value("SELECT pg_relation_filenode('counted')");
  Reception receiving(given);
  receiving.wait_durable(flushed(server));
  const auto inventory = must(WalInventory::load(receiving.space(), 16U << 20));
  std::uint64_t rows = 0;
  std::uint64_t commits = 0;
  for (const auto& [start, segment] : inventory.timelines().at({1})) {
    if (segment.sealed.empty()) continue;
    const auto summary = must(must(WalSegmentReader::open(receiving.space(), segment.sealed)).summary());
    commits += summary.index.commits;
    for (const auto& relation : summary.index.relations) {
      if (std::to_string(relation.relation.number.value) == file)
        rows += relation.count(ChangeKind::inserted);
    }
  }
  EXPECT_EQ(rows, 1234U);
  EXPECT_GE(commits, 2U);
}

TEST_F(WalReceiverTest, EachMajorStreams) {
  for (const int major : sample_majors()) {
    SCOPED_TRACE(major);
    MemoryStore store;
    auto of_major = options();
    of_major.major = major;
    PostgresServer server(of_major);
    server.start();
    const auto cluster = register_cluster(server);
    write_rows(server, 1000);
    const Lsn end = flushed(server);
    Reception receiving({.store = store, .url = server.url(), .cluster = cluster, .until = end});
    must(receiving.wait());
    expect_as_on_server(receiving.space(), server, end);
  }
  EXPECT_THAT(log_.problems(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace pgstrata::testing
