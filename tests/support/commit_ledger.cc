#include "support/commit_ledger.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <sys/socket.h>

#include "support/sql.h"
#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

Lsn lsn_of(const std::optional<std::string>& text) {
  const auto lsn = parse_lsn(text.value_or(""));
  if (!lsn) throw TestFailure("not an LSN: " + text.value_or("null"));
  return *lsn;
}

// When each commit began and ended in the WAL is not known exactly, only that it lay between two LSNs.
constexpr const char* open_transaction =
    "BEGIN; INSERT INTO commit_ledger VALUES ({}, {}, '{}') RETURNING pg_current_xact_id()::xid, "
    "pg_current_wal_insert_lsn()";
constexpr const char* ask_about_commit =
    "SELECT pg_current_wal_insert_lsn(), round(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, "
    "round(extract(epoch FROM pg_xact_commit_timestamp('{}'::xid)) * 1000000)::bigint";

}  // namespace

CommitLedger::CommitLedger(LedgerOptions options) : options_(std::move(options)) {
  SqlConnection connection(options_.conninfo);
  if (connection.value("SHOW track_commit_timestamp") != "on") {
    throw TestFailure("the ledger needs track_commit_timestamp = on");
  }
  connection.run(
      "CREATE TABLE commit_ledger (client int, sequence bigint, payload text NOT NULL, "
      "PRIMARY KEY (client, sequence))");
}

CommitLedger::~CommitLedger() {
  stop();
}

void CommitLedger::start() {
  clients_running_ = options_.clients;
  for (int client = 0; client < options_.clients; ++client) {
    threads_.emplace_back([this, client] { run_client(client); });
  }
}

void CommitLedger::wait_for_commits(std::size_t count, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, limit, [&] { return entries_.size() >= count; })) return;
  throw TestFailure(fmt::format("the ledger has {} commits, not {}, after {} ms; last error: {}",
                                entries_.size(), count, limit.count(), last_error_));
}

void CommitLedger::stop(std::chrono::milliseconds patience) {
  stopping_ = true;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [this] { return clients_running_ == 0; });
  }
  cut_off_sockets();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void CommitLedger::cut_off_sockets() {
  const std::lock_guard lock(mutex_);
  for (const auto& [client, socket] : sockets_) shutdown(socket, SHUT_RDWR);
}

void CommitLedger::run_client(int client) {
  std::int64_t next_sequence = 1;
  while (!stopping_) {
    try {
      run_session(client, next_sequence);
    } catch (const TestFailure& failure) {
      std::unique_lock lock(mutex_);
      sockets_.erase(client);
      last_error_ = failure.what();
      // The server is away; an application would also try again a moment later.
      changed_.wait_for(lock, std::chrono::milliseconds(20), [this] { return stopping_.load(); });
    }
  }
  const std::lock_guard lock(mutex_);
  --clients_running_;
  changed_.notify_all();
}

void CommitLedger::run_session(int client, std::int64_t& next_sequence) {
  SqlConnection connection(options_.conninfo);
  {
    const std::lock_guard lock(mutex_);
    sockets_[client] = connection.socket();
  }
  while (!stopping_) {
    // Each number is used once: after a lost connection nobody knows whether the row is there.
    const std::int64_t sequence = next_sequence++;
    LedgerEntry entry{.client = client, .sequence = sequence};
    const bool roll_back = to_be_rolled_back(client, sequence);
    const Rows opened = connection.run(fmt::format(
        fmt::runtime(open_transaction), client, roll_back ? -sequence : sequence, payload(client, sequence)));
    entry.lsn_before = lsn_of(opened.at(0).at(1));
    if (roll_back) {
      connection.run("ROLLBACK");
      continue;
    }
    {
      const std::lock_guard lock(mutex_);
      in_doubt_.emplace(client, sequence);
    }
    connection.run("COMMIT");
    entry.acknowledged = system_clock().now();
    const auto record = [&] {
      const std::lock_guard lock(mutex_);
      in_doubt_.erase({client, sequence});
      entries_.push_back(entry);
      changed_.notify_all();
    };
    try {
      const Rows about = connection.run(fmt::format(fmt::runtime(ask_about_commit), *opened[0][0]));
      entry.lsn_after = lsn_of(about.at(0).at(0));
      entry.observed = {std::stoll(about[0].at(1).value_or("0"))};
      entry.committed = {std::stoll(about[0].at(2).value_or("0"))};
    } catch (const TestFailure&) {
      record();
      throw;
    }
    record();
  }
  const std::lock_guard lock(mutex_);
  sockets_.erase(client);
}

std::string CommitLedger::payload(int client, std::int64_t sequence) const {
  std::mt19937_64 random(options_.seed ^ (static_cast<std::uint64_t>(client) << 48) ^
                         static_cast<std::uint64_t>(sequence));
  std::string text;
  while (text.size() < options_.payload_bytes) text += fmt::format("{:016x}", random());
  text.resize(options_.payload_bytes);
  return text;
}

bool CommitLedger::to_be_rolled_back(int client, std::int64_t sequence) const {
  return (static_cast<std::uint64_t>(sequence) + static_cast<std::uint64_t>(client) + options_.seed) % 8 == 0;
}

std::size_t CommitLedger::acknowledged_count() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::vector<LedgerEntry> CommitLedger::acknowledged() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

}  // namespace pgstrata::testing
