// A way to a server that can be cut.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace pgstrata::testing {

// Listens on a port of 127.0.0.1 and passes each connection on to another. Thread-safe.
class FaultLink {
 public:
  explicit FaultLink(int server_port);
  ~FaultLink();
  FaultLink(const FaultLink&) = delete;
  FaultLink& operator=(const FaultLink&) = delete;

  [[nodiscard]] int port() const { return port_; }
  // Ends all connections there are, at once and on both sides; new ones are passed on.
  void cut_all() { cut_ = true; }

 private:
  struct Pair {
    int client;
    int server;
  };
  void run(int server_port);

  int listener_;
  int port_ = 0;
  std::atomic<bool> cut_{false};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace pgstrata::testing
