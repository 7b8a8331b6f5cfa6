// The WAL receiver's patience: with a source that is idle, and with one that does not answer.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wal_receiver_test.h"

namespace pgstrata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::IsEmpty;

class WalReceiverTimingTest : public ::testing::Test {
 protected:
  static std::size_t times_in_log(const PostgresServer& server, std::string_view words) {
    const auto log = server.log_text();
    std::size_t times = 0;
    for (auto at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) ++times;
    return times;
  }
  static std::uint64_t tail_bytes(const ClusterSpace& space) {
    std::uint64_t bytes = 0;
    for (const auto& object : must(space.list("wal/"))) bytes += object.size_bytes;
    return bytes;
  }

  MemoryStore store_;
  CapturedLog log_;
};

// A hundred times as fast as it is: a pause each 100 ms is one each 10 s, 40 of them make seven minutes. The
// second receiver never pauses: probes alone tell it that the source is there.
TEST_F(WalReceiverTimingTest, AnIdleDatabaseForLongRaisesNothing) {
  constexpr std::size_t pauses = 40;
  constexpr std::uint64_t mark_bytes = 128;  // at most, with its frame
  PostgresServer server(
      {.settings = {"autovacuum = off", "log_replication_commands = on", "log_connections = on"}});
  server.start();
  MemoryStore unpausing_store;
  WalReceiverTimings fast{.confirm_interval = milliseconds(100),
                          .probe_after = milliseconds(100),
                          .stalled_after = milliseconds(2500),  // a slow machine is no silent source
                          .pause_interval = milliseconds(100)};
  Reception receiving({.store = store_,
                       .url = server.url(),
                       .cluster = register_cluster(server, "pausing"),
                       .application_name = "pausing",
                       .timings = fast});
  fast.pause_interval = std::chrono::hours(1);
  Reception unpausing({.store = unpausing_store,
                       .url = server.url(),
                       .cluster = register_cluster(server, "unpausing"),
                       .application_name = "unpausing",
                       .timings = fast});
  for (auto* reception : {&receiving, &unpausing}) reception->wait_state(WalReceiverState::idle);
  const auto at_first = tail_bytes(receiving.space());
  const auto begun = unpausing.status().server_time;
  const auto starts = times_in_log(server, "command: START_REPLICATION SLOT \"pausing\"");
  wait_until("many pauses", [&] {
    return times_in_log(server, "command: START_REPLICATION SLOT \"pausing\"") >= starts + pauses;
  });
  wait_until("words from the idle source",
             [&] { return unpausing.status().server_time > begun + seconds(5); });

  EXPECT_THAT(log_.problems(), IsEmpty());
  for (const auto* reception : {&receiving, &unpausing}) {
    EXPECT_THAT(reception->states(), Each(AnyOf(WalReceiverState::connecting, WalReceiverState::streaming,
                                                WalReceiverState::idle)));
    EXPECT_EQ(reception->status().state, WalReceiverState::idle);
    EXPECT_THAT(reception->gaps(), IsEmpty());
  }
  const auto paused = times_in_log(server, "command: START_REPLICATION SLOT \"pausing\"") - starts;
  EXPECT_LE(tail_bytes(receiving.space()), at_first + (paused + 1) * mark_bytes) << "a mark at each pause";
  EXPECT_LE(tail_bytes(unpausing.space()), at_first + 3 * mark_bytes) << "marks are seconds apart";
  EXPECT_EQ(must(receiving.space().list("wal/")).size(), 1U) << "one tail";
  EXPECT_EQ(times_in_log(server, "command: START_REPLICATION SLOT \"unpausing\""), 1U) << "on one connection";
  EXPECT_EQ(times_in_log(server, "replication connection authorized"), 2U + 2U)
      << "two registered, two connected once";
}

// Ends each connection as soon as it is made.
class Doorman {
 public:
  Doorman() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
      throw TestFailure("could not listen on 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~Doorman() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  Doorman(const Doorman&) = delete;
  Doorman& operator=(const Doorman&) = delete;
  [[nodiscard]] std::string url() const {
    return fmt::format("postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable&gssencmode=disable",
                       port_);
  }
  [[nodiscard]] std::vector<SteadyTime> turned_away() const {
    const std::lock_guard lock(mutex_);
    return turned_away_;
  }

 private:
  void run() {
    for (;;) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      {
        const std::lock_guard lock(mutex_);
        turned_away_.push_back(std::chrono::steady_clock::now());
      }
      ::close(client);
    }
  }

  int listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<SteadyTime> turned_away_;  // guarded by mutex_
  std::thread thread_;
};

TEST_F(WalReceiverTimingTest, AttemptsToConnectComeEverMoreSeldom) {
  const Doorman doorman;
  ClusterRecord cluster;
  cluster.wal_segment_bytes = 16U << 20;
  cluster.slot = "pgstrata_app";
  const auto begun = std::chrono::steady_clock::now();
  Reception receiving({.store = store_, .url = doorman.url(), .cluster = cluster});
  constexpr std::size_t attempts = 5;
  wait_until("attempts to connect", [&] { return doorman.turned_away().size() >= attempts; });
  const auto turned_away = doorman.turned_away();
  WalBackoff expected([] { return 0.5; });  // as the receiver's
  milliseconds waited{0};
  for (std::size_t attempt = 0; attempt < attempts; ++attempt) {
    EXPECT_GE(turned_away.at(attempt) - begun, waited) << "attempt " << attempt;
    waited += expected.next();
  }
  EXPECT_GE(waited, seconds(5)) << "each wait is twice the last";
  EXPECT_LT(receiving.stop(), seconds(2)) << "in the midst of the longest wait";
}

}  // namespace
}  // namespace pgstrata::testing
