// A way to a server that can be cut, stalled or slowed down.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace pgstrata::testing {

// Listens on a port of 127.0.0.1 and passes each connection on to another. Thread-safe.
class CuttableLink {
 public:
  explicit CuttableLink(int server_port);
  ~CuttableLink();
  CuttableLink(const CuttableLink&) = delete;
  CuttableLink& operator=(const CuttableLink&) = delete;

  [[nodiscard]] int port() const { return port_; }
  // Ends all connections there are, at once and on both sides; new ones are passed on.
  void cut() { cut_ = true; }
  // Passes nothing on any more, without a word.
  void stall() { stalled_ = true; }
  // Passes on no more than this from the server, over all connections.
  void slow_down(std::int64_t bytes_per_second) { bytes_per_second_ = bytes_per_second; }
  // The same as soon as the server has sent about that much more.
  void stall_after(std::uint64_t bytes) { until_stall_bytes_ = static_cast<std::int64_t>(bytes); }
  // How many connections were made so far.
  [[nodiscard]] int accepted() const { return accepted_; }
  [[nodiscard]] bool stalled() const { return stalled_; }

 private:
  struct Pair {
    int client;
    int server;
  };
  void run(int server_port);

  int listener_;
  int port_ = 0;
  std::atomic<bool> cut_{false};
  std::atomic<bool> stalled_{false};
  std::atomic<std::int64_t> bytes_per_second_{0};  // 0: no limit
  std::atomic<std::int64_t> until_stall_bytes_{INT64_MAX};
  std::atomic<int> accepted_{0};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace pgstrata::testing
