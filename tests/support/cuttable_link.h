// A way to a server that can be cut or stalled.
#pragma once

#include <atomic>
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
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace pgstrata::testing
