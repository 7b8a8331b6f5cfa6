// A WAL receiver on a thread of its own, what it told, and what it stored held against the server's own
// files.
#pragma once

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/wal_receiver.h"
#include "catalog/timelines.h"
#include "catalog/wal_reader.h"
#include "pg/format/wal_name.h"
#include "storage/memory/memory_store.h"
#include "support/commit_ledger.h"
#include "support/postgres_server.h"
#include "support/wait_until.h"

namespace pgstrata::testing {

template <class T>
T must(Result<T> result) {
  if (!result) throw TestFailure(result.error().describe());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// What went to the log while it lives.
class CapturedLog : public LogSink {
 public:
  CapturedLog() { set_log_sink(this); }
  ~CapturedLog() override { set_log_sink(nullptr); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;
  void write(Severity severity, std::string_view message) override {
    const std::lock_guard lock(mutex_);
    (severity >= Severity::warning ? problems_ : remarks_).emplace_back(message);
  }
  // Warnings and errors so far.
  [[nodiscard]] std::vector<std::string> problems() const {
    const std::lock_guard lock(mutex_);
    return problems_;
  }
  // All else.
  [[nodiscard]] std::vector<std::string> remarks() const {
    const std::lock_guard lock(mutex_);
    return remarks_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> problems_;  // guarded by mutex_
  std::vector<std::string> remarks_;   // guarded by mutex_
};

inline std::uint32_t segment_bytes_of(const PostgresServer& server) {
  return static_cast<std::uint32_t>(
      std::stoul(server.query_value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")));
}

// As `pgstrata add` would register it, slot included.
inline ClusterRecord register_cluster(const PostgresServer& server,
                                      const std::string& slot = "pgstrata_app") {
  const Cancellation cancellation;
  auto connection =
      must(ReplicationConnection::connect(must(ConnectionUrl::parse(server.url())), {}, cancellation));
  must(connection.create_physical_slot(slot));
  ClusterRecord record;
  record.system_identifier = must(connection.identify_system()).system;
  record.server_version = static_cast<std::uint32_t>(connection.server_version());
  record.wal_segment_bytes = segment_bytes_of(server);
  record.slot = slot;
  return record;
}

struct ReceptionOptions {
  ObjectStore& store;
  std::string url;
  ClusterRecord cluster;
  std::optional<Lsn> until{};
  std::string application_name = "pgstrata";
  WalReceiverTimings timings{};
  PublishingAllowed still_allowed = [] { return Result<void>(); };
};

class Reception : private WalReceiverObserver {
 public:
  explicit Reception(ReceptionOptions options)
      : space_(space_over(options.store)), thread_([this, given = std::move(options)] { run(given); }) {}
  ~Reception() override {
    cancellation_.request();
    thread_.join();
  }
  Reception(const Reception&) = delete;
  Reception& operator=(const Reception&) = delete;

  static ClusterSpace space_over(ObjectStore& store) {
    return {store, "app", must(SecretKey::from(Bytes(SecretKey::size_bytes, std::byte{1})))};
  }
  [[nodiscard]] const ClusterSpace& space() const { return space_; }
  [[nodiscard]] WalReceiverStatus status() const {
    const std::lock_guard lock(mutex_);
    return status_;
  }
  // Of all that it said.
  [[nodiscard]] Lsn least_server_end() const {
    const std::lock_guard lock(mutex_);
    return least_server_end_;
  }
  [[nodiscard]] std::vector<WalGap> gaps() const {
    const std::lock_guard lock(mutex_);
    return gaps_;
  }
  [[nodiscard]] bool has_been(WalReceiverState state) const {
    const std::lock_guard lock(mutex_);
    return std::ranges::find(states_, state) != states_.end();
  }
  // Each that it has been in, in turn.
  [[nodiscard]] std::vector<WalReceiverState> states() const {
    const std::lock_guard lock(mutex_);
    return states_;
  }
  void wait_durable(Lsn lsn, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    wait_until_or_tell(
        fmt::format("{} to be durable", lsn), [&] { return status().durable >= lsn; }, limit);
  }
  void wait_state(WalReceiverState state) {
    wait_until_or_tell(std::string(to_string(state)), [&] { return status().state == state; });
  }
  void wait_synchronous(bool synchronous) {
    wait_until_or_tell(fmt::format("synchronous = {}", synchronous),
                       [&] { return status().synchronous == synchronous; });
  }
  // Its own end.
  Result<void> wait(std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    wait_until(
        "the receiver's end", [&] { return ended_.load(); }, limit);
    return *outcome_;
  }
  // As by SIGTERM. Returns how long that took.
  std::chrono::milliseconds stop() {
    const auto before = std::chrono::steady_clock::now();
    cancellation_.request();
    must(wait());
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - before);
  }

 private:
  template <class Condition>
  void wait_until_or_tell(const std::string& what, const Condition& condition,
                          std::chrono::milliseconds limit = std::chrono::seconds(60)) const {
    try {
      wait_until(what, condition, limit);
    } catch (const TestFailure& failure) {
      const auto now = status();
      throw TestFailure(fmt::format("{}; the receiver is {} ({}), has {} of {}, durable {}", failure.what(),
                                    to_string(now.state), now.problem, now.received, now.server_end,
                                    now.durable));
    }
  }
  void run(const ReceptionOptions& options) {
    WalReceiver receiver({.space = space_,
                          .cluster = options.cluster,
                          .url = must(ConnectionUrl::parse(options.url)),
                          .clock = system_clock(),
                          .cancellation = cancellation_,
                          .still_allowed = options.still_allowed,
                          .random = [] { return 0.5; },
                          .until = options.until,
                          .observer = this,
                          .application_name = options.application_name,
                          .timings = options.timings});
    outcome_ = receiver.run();
    ended_ = true;
  }
  void wal_status(const WalReceiverStatus& status) override {
    const std::lock_guard lock(mutex_);
    if (states_.empty() || states_.back() != status.state) states_.push_back(status.state);
    if (status.server_time.valid()) least_server_end_ = std::min(least_server_end_, status.server_end);
    status_ = status;
  }
  void wal_lost(const WalGap& gap) override {
    const std::lock_guard lock(mutex_);
    gaps_.push_back(gap);
  }

  const ClusterSpace space_;
  Cancellation cancellation_;
  mutable std::mutex mutex_;
  WalReceiverStatus status_;              // guarded by mutex_, as are the two below
  std::vector<WalReceiverState> states_;  // each change
  std::vector<WalGap> gaps_;
  Lsn least_server_end_{UINT64_MAX};
  std::optional<Result<void>> outcome_;  // before ended_ is set: the thread's
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

inline Lsn flushed(const PostgresServer& server) {
  return must(parse_lsn(server.query_value("SELECT pg_current_wal_flush_lsn()")));
}

// All WAL of the timeline in the repository, up to `to`, is what the server has in pg_wal. Returns how many
// bytes that were.
inline std::uint64_t expect_as_on_server(const ClusterSpace& space, const PostgresServer& server, Lsn to,
                                         TimelineId timeline = {1}) {
  const auto segment_bytes = segment_bytes_of(server);
  const auto inventory = must(WalInventory::load(space, segment_bytes));
  const Lsn from = inventory.timelines().at(timeline).begin()->first;
  const auto compare = [&](Lsn at, ByteView bytes) -> Result<bool> {
    const auto name = wal_segment_name({timeline, wal_segment_of(at, segment_bytes)}, segment_bytes);
    std::ifstream file(server.data_directory() / "pg_wal" / name, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at.value % segment_bytes));
    Bytes there(bytes.size());
    file.read(reinterpret_cast<char*>(there.data()), static_cast<std::streamsize>(there.size()));
    EXPECT_TRUE(file.good()) << name;
    EXPECT_TRUE(std::ranges::equal(bytes, there)) << name;
    return true;
  };
  EXPECT_EQ(to_string(must(read_wal(space, inventory, timeline, from, to, compare))), to_string(to));
  return to - from;
}

inline void write_rows(const PostgresServer& server, int rows) {
  server.query(
      fmt::format("CREATE TABLE IF NOT EXISTS written (id int, payload text);"
                  "INSERT INTO written SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, {}) i",
                  rows));
}

}  // namespace pgstrata::testing
