// The commit ledger: what a server acknowledged, written down outside of it, to hold a restore against.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/timestamp.h"
#include "base/types.h"
#include "support/test_seed.h"

namespace pgstrata::testing {

struct LedgerOptions {
  std::string conninfo{};  // of the source; clients connect again by themselves when it went away
  int clients = 4;
  std::uint64_t seed = test_seed(1);  // of the rows' payloads and of which transactions are rolled back
  std::size_t payload_bytes = 200;
};

// One acknowledged commit. The commit record lies in the WAL between the two LSNs.
struct LedgerEntry {
  int client = 0;
  std::int64_t sequence = 0;
  Lsn lsn_before{};          // the insert position, read inside the transaction
  Lsn lsn_after{};           // the same, read after the commit; invalid when the server went away first
  Timestamp committed{};     // what the commit record says; zero when the server went away first
  Timestamp observed{};      // the server's clock, after it gave lsn_after
  Timestamp acknowledged{};  // our clock, when the answer was there
};

// N clients each insert rows (client, sequence, payload) into the table `commit_ledger`, one per transaction,
// and note each acknowledged commit. One transaction in eight is rolled back, with a negative sequence. The
// source needs track_commit_timestamp. The table is made by the constructor. Checks return the problems, none
// when all is well; each takes the conninfo of the restored server and also demands that no row is torn,
// unknown or rolled back and that each client's rows are a prefix of what it wrote. Thread-safe.
class CommitLedger {
 public:
  explicit CommitLedger(LedgerOptions options);
  ~CommitLedger();  // stops
  CommitLedger(const CommitLedger&) = delete;
  CommitLedger& operator=(const CommitLedger&) = delete;

  void start();
  // Until that many commits in total are acknowledged. Throws TestFailure after `limit`.
  void wait_for_commits(std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(60));
  // Each client ends after its transaction. One that gets no answer within `patience` (the source hangs, or
  // waits for a synchronous standby) is cut off, its last commit in doubt: such a row may be there or not.
  void stop(std::chrono::milliseconds patience = std::chrono::seconds(10));

  [[nodiscard]] std::size_t acknowledged_count() const;
  // In the order of their acknowledgement.
  [[nodiscard]] std::vector<LedgerEntry> acknowledged() const;

  using Problems = std::vector<std::string>;
  // Every acknowledged commit is there.
  [[nodiscard]] Problems check_all(const std::string& conninfo) const;
  // Every commit acknowledged at or before `moment`, by our clock, is there; later ones may be.
  [[nodiscard]] Problems check_acknowledged_by(const std::string& conninfo, Timestamp moment) const;
  // Exactly what recovery_target_time = `target` (inclusive) gives: nothing committed after it, and all
  // committed up to it but for those that were under way at the same time as the first commit after it.
  [[nodiscard]] Problems check_time(const std::string& conninfo, Timestamp target) const;
  // Exactly what recovery_target_lsn = `target` gives: all whose commit ended by it, none that began after
  // it.
  [[nodiscard]] Problems check_lsn(const std::string& conninfo, Lsn target) const;

 private:
  enum class Expect { present, absent, either };
  using Key = std::pair<int, std::int64_t>;

  void run_client(int client);
  void run_session(int client, std::int64_t& next_sequence);
  [[nodiscard]] std::string payload(int client, std::int64_t sequence) const;
  [[nodiscard]] bool to_be_rolled_back(int client, std::int64_t sequence) const;
  void cut_off_sockets();
  [[nodiscard]] std::map<Key, std::string> read_rows(const std::string& conninfo) const;
  [[nodiscard]] Problems check(const std::string& conninfo,
                               const std::function<Expect(const LedgerEntry&)>& expect) const;

  const LedgerOptions options_;
  std::vector<std::thread> threads_;  // only start() and stop(), from the test's thread
  std::atomic<bool> stopping_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<LedgerEntry> entries_;  // guarded by mutex_, as are all below
  std::set<Key> in_doubt_;
  std::map<int, int> sockets_;  // by client, while connected
  std::string last_error_;
  int clients_running_ = 0;
};

}  // namespace pgstrata::testing
