// WAL streaming: what arrives, how timelines end, and how the WAL can be lost.
#include <algorithm>
#include <csignal>
#include <fstream>

#include "pg/wire/wire_test_support.h"
#include "support/cuttable_link.h"
#include "support/wait_until.h"

namespace pgstrata {
namespace {

constexpr std::uint64_t segment_bytes = std::uint64_t{16} << 20;

Lsn segment_start(Lsn lsn) {
  return Lsn{lsn.value - lsn.value % segment_bytes};
}

Lsn current_lsn(const testing::PostgresServer& server) {
  return must(parse_lsn(server.query_value("select pg_current_wal_flush_lsn()")));
}

// Receives up to `end`, checking that no byte is missing or comes twice; confirms all of it.
Lsn receive_up_to(ReplicationConnection& connection, Lsn position, Lsn end, std::string* into = nullptr) {
  while (position < end) {
    const auto event = must(connection.receive(within(std::chrono::seconds(30))));
    if (const auto* data = std::get_if<WalData>(&event)) {
      EXPECT_EQ(data->start, position);
      EXPECT_GE(data->server_end, data->start);
      if (into != nullptr) *into += as_text(data->bytes);
      position += data->bytes.size();
      // What was lent stays while the next is looked for.
      const auto before = to_bytes(data->bytes);
      must(connection.drained());
      EXPECT_TRUE(std::ranges::equal(before, data->bytes));
      must(connection.send_status({.written = position, .flushed = position, .applied = {}}));
    } else if (!std::holds_alternative<Keepalive>(event)) {
      throw testing::TestFailure("the stream ended early");
    }
  }
  return position;
}

// The first event that is neither data nor a keepalive.
WalEvent receive_to_end(ReplicationConnection& connection) {
  for (;;) {
    auto event = must(connection.receive(within(std::chrono::seconds(30))));
    if (!std::holds_alternative<WalData>(event) && !std::holds_alternative<Keepalive>(event)) return event;
  }
}

class WalStreaming : public ::testing::TestWithParam<int> {};

TEST_P(WalStreaming, DeliversTheVeryBytesOfTheSegments) {
  auto& server = shared_server(GetParam());
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  must(connection.create_physical_slot("s"));
  const Lsn begin = segment_start(must(connection.identify_system()).flush_position);
  const auto file_name = server.query_value("select pg_walfile_name(pg_current_wal_lsn())");
  server.query("drop table if exists t, more");
  server.query("create table t as select g, md5(g::text) from generate_series(1, 50000) g");
  server.query("select pg_switch_wal()");
  const Lsn end = begin + segment_bytes;

  ASSERT_TRUE(
      std::holds_alternative<Streaming>(must(connection.start_replication("s", begin, TimelineId{1}))));
  std::string received;
  const Lsn position = receive_up_to(connection, begin, end, &received);
  const auto segment = testing::read_text(server.data_directory() / "pg_wal" / file_name);
  ASSERT_GE(received.size(), segment_bytes);
  EXPECT_TRUE(received.substr(0, segment_bytes) == segment);

  testing::wait_until("the slot to move", [&] {
    return server.query_value("select restart_lsn >= '" + to_string(end) + "' from pg_replication_slots") ==
           "t";
  });
  must(connection.end_replication());
  EXPECT_EQ(server.query_value("select active from pg_replication_slots"), "f");
  // It takes commands, and streaming goes on where it ended.
  must(connection.identify_system());
  ASSERT_TRUE(
      std::holds_alternative<Streaming>(must(connection.start_replication("s", position, TimelineId{1}))));
  server.query("create table more as select 1");
  receive_up_to(connection, position, current_lsn(server));
}

TEST_P(WalStreaming, TellsIdleFromStalled) {
  auto& server = shared_server(GetParam());
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  const Lsn begin = segment_start(current_lsn(server));
  must(connection.start_replication("", begin, TimelineId{1}));
  const Lsn position = receive_up_to(connection, begin, current_lsn(server));
  // Asked for, a keepalive comes at once.
  must(connection.send_status(
      {.written = position, .flushed = position, .applied = {}, .reply_requested = true}));
  const auto deadline = within(std::chrono::seconds(30));
  for (bool answered = false; !answered;) {
    const auto event = must(connection.receive(deadline));
    ASSERT_FALSE(std::holds_alternative<ReceiveTimeout>(event));
    const auto* keepalive = std::get_if<Keepalive>(&event);
    answered = keepalive != nullptr;
    if (answered) {
      EXPECT_GE(keepalive->server_end, position);
      EXPECT_LT(std::chrono::abs(keepalive->send_time - system_clock().now()), std::chrono::minutes(1));
    }
  }
  testing::wait_until("silence", [&] {
    return std::holds_alternative<ReceiveTimeout>(
        must(connection.receive(within(std::chrono::milliseconds(0)))));
  });
  EXPECT_TRUE(must(connection.drained()));
}

TEST_P(WalStreaming, FollowsAStandbyThatIsPromoted) {
  testing::PostgresServer server({.major = GetParam()});
  server.start();
  // A server that recovers, then opens on a new timeline, is a promoted standby.
  server.stop();
  (void)std::ofstream(server.data_directory() / "standby.signal");
  server.start();
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  must(connection.create_physical_slot("s"));
  const auto before = must(connection.identify_system());
  EXPECT_EQ(before.timeline, TimelineId{1});
  EXPECT_TRUE(must(connection.in_recovery()));
  const Lsn begin = segment_start(before.flush_position);
  must(connection.start_replication("s", begin, TimelineId{1}));
  const Lsn position = receive_up_to(connection, begin, before.flush_position);

  server.promote();
  const auto ended = receive_to_end(connection);
  ASSERT_TRUE(std::holds_alternative<TimelineSwitch>(ended));
  const auto change = std::get<TimelineSwitch>(ended);
  EXPECT_EQ(change.next, TimelineId{2});
  EXPECT_EQ(change.switch_point, position);
  EXPECT_FALSE(must(connection.in_recovery()));

  const auto history = must(connection.timeline_history(TimelineId{2}));
  EXPECT_EQ(history.file_name, "00000002.history");
  EXPECT_NE(as_text(history.content).find(to_string(change.switch_point)), std::string_view::npos);

  // The old timeline has no more; asking for it says so at once.
  const auto again = must(connection.start_replication("s", change.switch_point, TimelineId{1}));
  ASSERT_TRUE(std::holds_alternative<TimelineSwitch>(again));
  EXPECT_EQ(std::get<TimelineSwitch>(again).next, TimelineId{2});

  server.query("create table after_promotion as select 1");
  ASSERT_TRUE(std::holds_alternative<Streaming>(
      must(connection.start_replication("s", change.switch_point, TimelineId{2}))));
  const Lsn end = receive_up_to(connection, change.switch_point, current_lsn(server));
  must(connection.end_replication());

  // WAL of timeline 1 past the fork is not in this server's history.
  const auto diverged = must(connection.start_replication("s", end, TimelineId{1}));
  ASSERT_TRUE(std::holds_alternative<WalLost>(diverged));
  EXPECT_EQ(std::get<WalLost>(diverged).reason, WalLost::Reason::diverged)
      << std::get<WalLost>(diverged).message;
  const auto unknown = must(connection.start_replication("s", end, TimelineId{9}));
  ASSERT_TRUE(std::holds_alternative<WalLost>(unknown));
  EXPECT_EQ(std::get<WalLost>(unknown).reason, WalLost::Reason::diverged)
      << std::get<WalLost>(unknown).message;
  // The server starts such a stream and fails it then.
  must(connection.start_replication("s", end + 10 * segment_bytes, TimelineId{2}));
  const auto ahead = must_fail(connection.receive(within(std::chrono::seconds(30))));
  EXPECT_EQ(ahead.code(), ErrorCode::unavailable) << ahead.describe();
}

TEST_P(WalStreaming, SlotInUseOrGone) {
  auto& server = shared_server(GetParam());
  const Cancellation cancellation;
  auto first = connect_to(server, cancellation);
  auto second = connect_to(server, cancellation);
  must(first.create_physical_slot("s"));
  const Lsn begin = current_lsn(server);
  must(first.start_replication("s", begin, TimelineId{1}));
  const auto busy = must_fail(second.start_replication("s", begin, TimelineId{1}));
  EXPECT_EQ(busy.code(), ErrorCode::busy) << busy.describe();
  EXPECT_NE(busy.message().find(server.query_value("select active_pid from pg_replication_slots")),
            std::string::npos);
  EXPECT_EQ(must_fail(second.drop_slot("s")).code(), ErrorCode::busy);

  must(first.end_replication());
  must(second.drop_slot("s"));
  const auto missing = must(first.start_replication("s", begin, TimelineId{1}));
  ASSERT_TRUE(std::holds_alternative<WalLost>(missing));
  EXPECT_EQ(std::get<WalLost>(missing).reason, WalLost::Reason::slot_missing);
}

TEST_P(WalStreaming, WalThatWasRemovedIsLost) {
  testing::PostgresServer server(
      {.major = GetParam(),
       .settings = {"max_slot_wal_keep_size = 16MB", "min_wal_size = 32MB", "max_wal_size = 32MB"}});
  server.start();
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  must(connection.create_physical_slot("s"));
  const Lsn begin = current_lsn(server);
  for (int i = 0; i < 6; ++i)
    server.query("create table t" + std::to_string(i) + "(); select pg_switch_wal()");
  server.query("checkpoint");
  ASSERT_EQ(server.query_value("select wal_status from pg_replication_slots"), "lost");

  // Up to 17 taking the slot succeeds, and what is missing shows when it is read.
  const auto started = must(connection.start_replication("s", begin, TimelineId{1}));
  if (const auto* lost = std::get_if<WalLost>(&started)) {
    EXPECT_EQ(lost->reason, WalLost::Reason::slot_invalidated) << lost->message;
    EXPECT_GE(GetParam(), 18);
  } else {
    const auto ended = receive_to_end(connection);
    ASSERT_TRUE(std::holds_alternative<WalLost>(ended));
    EXPECT_EQ(std::get<WalLost>(ended).reason, WalLost::Reason::segment_removed)
        << std::get<WalLost>(ended).message;
  }
  const auto without_slot = must(connection.start_replication("", begin, TimelineId{1}));
  ASSERT_TRUE(std::holds_alternative<Streaming>(without_slot));
  const auto ended = receive_to_end(connection);
  ASSERT_TRUE(std::holds_alternative<WalLost>(ended));
  EXPECT_EQ(std::get<WalLost>(ended).reason, WalLost::Reason::segment_removed)
      << std::get<WalLost>(ended).message;
  // The connection serves on, as for making a new slot.
  must(connection.drop_slot("s"));
  must(connection.create_physical_slot("s"));
}

TEST_P(WalStreaming, AServerThatStopsOrDiesIsUnavailable) {
  auto& server = shared_server(GetParam());
  const Cancellation cancellation;
  for (const bool crash : {false, true}) {
    auto connection = connect_to(server, cancellation);
    const Lsn begin = segment_start(current_lsn(server));
    must(connection.start_replication("", begin, TimelineId{1}));
    Lsn position = receive_up_to(connection, begin, current_lsn(server));
    if (crash) {
      server.kill9();
    } else {
      ::kill(std::stoi(testing::read_text(server.data_directory() / "postmaster.pid")), SIGINT);
    }
    // A stopping server waits until all it wrote is confirmed.
    for (;;) {
      const auto event = connection.receive(within(std::chrono::seconds(30)));
      if (!event.has_value()) {
        EXPECT_EQ(event.error().code(), ErrorCode::unavailable) << event.error().describe();
        break;
      }
      ASSERT_FALSE(std::holds_alternative<ReceiveTimeout>(*event));
      if (const auto* data = std::get_if<WalData>(&*event)) position = data->start + data->bytes.size();
      must(connection.send_status({.written = position, .flushed = position, .applied = {}}));
    }
    if (!crash) {
      testing::wait_until("the server to end", [&] { return !server.running(); });
      server.start();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Majors, WalStreaming, ::testing::ValuesIn(testing::available_majors()));

TEST(WalStreamLink, ACutConnectionIsNoticedAtOnce) {
  auto& server = shared_server(15);
  testing::CuttableLink link(server.port());
  const Cancellation cancellation;
  auto connection = must(ReplicationConnection::connect(
      url_of(server.url()).with("port", std::to_string(link.port())), {}, cancellation));
  must(connection.start_replication("", segment_start(current_lsn(server)), TimelineId{1}));
  link.cut();
  const auto error = must_fail([&]() -> Result<void> {
    for (;;) PGS_CHECK(connection.receive(within(std::chrono::seconds(30))));
  }());
  EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.describe();
}

TEST(WalStreamLink, EndingOverADeadLinkGivesUp) {
  auto& server = shared_server(15);
  testing::CuttableLink link(server.port());
  const Cancellation cancellation;
  auto connection = must(ReplicationConnection::connect(
      url_of(server.url()).with("port", std::to_string(link.port())), {}, cancellation));
  must(connection.start_replication("", segment_start(current_lsn(server)), TimelineId{1}));
  link.stall();
  const auto begin = std::chrono::steady_clock::now();
  const auto ended = connection.end_replication();
  // What was under way when the link stalled may have been enough to end well.
  if (!ended.has_value()) {
    EXPECT_EQ(ended.error().code(), ErrorCode::unavailable);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(WalStreamCancel, AWaitingReceiverStopsCleanly) {
  auto& server = shared_server(15);
  Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  must(connection.create_physical_slot("s"));
  const Lsn begin = current_lsn(server);
  must(connection.start_replication("s", begin, TimelineId{1}));
  std::thread stopper([&] { cancellation.request(); });
  const auto error = must_fail([&]() -> Result<void> {
    for (;;) PGS_CHECK(connection.receive(within(std::chrono::minutes(10))));
  }());
  stopper.join();
  EXPECT_EQ(error.code(), ErrorCode::cancelled);
  must(connection.send_status({.written = begin, .flushed = begin, .applied = {}}));
  must(connection.end_replication());
  EXPECT_EQ(server.query_value("select active from pg_replication_slots"), "f");
}

}  // namespace
}  // namespace pgstrata
