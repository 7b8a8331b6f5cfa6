// A way to an HTTP server on which requests and answers get lost, late or wrong, as a test wants it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <netinet/in.h>

namespace pgstrata::testing {

enum class HttpFaultKind {
  answer,        // `status` and an error as S3's, and the server never hears of the request
  reset_before,  // the connection is reset, and the server never hears of the request
  lose_answer,   // the server does what is asked; then the connection is reset
  cut_answer,    // the connection is closed after `body_bytes` of the answer's body
  stale_answer,  // what the same GET with a query, a listing that is, got when it was last passed on, up to
                 // 1 MiB; passed on if there was none
  hang,          // no answer, until the client leaves; the server never hears of the request
};

constexpr int for_ever = -1;

// What happens to which requests. Of several that match, the first that was added and is not used up does.
struct HttpFault {
  HttpFaultKind kind = HttpFaultKind::answer;
  std::string method{};       // empty: any
  std::string target_part{};  // somewhere in "/bucket/key?query"; empty: any
  std::string head_part{};    // somewhere in the request line and headers; empty: any
  int times = 1;
  int after = 0;  // so many that match are passed on before
  int status = 500;
  std::string code = "InternalError";
  std::string more_headers{};  // of the answer: "name: value\r\n" each
  std::string body{};          // in the place of an error document with `code`
  std::uint64_t body_bytes = 0;
};

// Listens on a port of 127.0.0.1, or of another address of this machine, and passes each request on to one HTTP/1.1 server, and its answer back, as
// they are, the Host header included: signatures stay right. Any number of connections at once, each kept as
// long as both sides keep theirs. It says "100 Continue" itself. Thread-safe. The destructor ends all
// connections at once.
class HttpFaultProxy {
 public:
  // The server's IPv4 address and port, and where to listen.
  HttpFaultProxy(const std::string& host, int port, std::string listen_on = "127.0.0.1");
  ~HttpFaultProxy();
  HttpFaultProxy(const HttpFaultProxy&) = delete;
  HttpFaultProxy& operator=(const HttpFaultProxy&) = delete;

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string endpoint() const;  // "http://127.0.0.1:34567"

  void add(const HttpFault& fault);
  // Each request that no added fault is for has one of `kinds` with this probability; which ones goes by the seed and
  // the order in which they come.
  void fail_at_random(double probability, std::uint64_t seed, const std::vector<HttpFault>& kinds);
  // No more of either; what hangs goes on hanging.
  void clear_faults();
  // Before each request is passed on, or answered.
  void delay_each(std::chrono::milliseconds delay);
  // Both ways and over all connections. 0: no limit.
  void limit_rate(std::int64_t bytes_per_second);

  // All that came, also what was not passed on: "PUT /bucket/key", in the order of arrival.
  [[nodiscard]] std::vector<std::string> requests() const;
  [[nodiscard]] int count(std::string_view method, std::string_view target_part = {}) const;
  // How many of them had a fault.
  [[nodiscard]] int faults() const;
  void forget_requests();
  // Heads and bodies that the server, and that clients were sent by now.
  [[nodiscard]] std::uint64_t bytes_to_server() const;
  [[nodiscard]] std::uint64_t bytes_to_clients() const;

 private:
  class Connection;
  struct Head;
  struct Served {
    std::thread thread;
    bool ended = false;
  };

  void accept_all();
  void serve(int socket);
  bool answer_for_server(Connection& client, const Head& request, const HttpFault& fault);
  bool pass_on(Connection& client, std::unique_ptr<Connection>& server, const Head& request,
               const std::optional<HttpFault>& fault);
  [[nodiscard]] std::unique_ptr<Connection> connect_to_server();
  [[nodiscard]] std::optional<HttpFault> arrival(const Head& request);
  // False when this ends before the time has come.
  bool wait_delay();
  bool wait_for_rate(std::size_t bytes);

  const sockaddr_in server_;
  const std::string listen_on_;
  int listener_ = -1;
  int port_ = 0;

  mutable std::mutex mutex_;  // of all that follows but the acceptor
  std::condition_variable ending_soon_;
  bool ending_ = false;
  std::vector<HttpFault> faults_;
  double probability_ = 0;
  std::mt19937_64 random_;
  std::vector<HttpFault> random_kinds_;
  std::chrono::milliseconds delay_{0};
  std::int64_t bytes_per_second_ = 0;
  std::chrono::steady_clock::time_point rate_used_until_{};
  std::vector<std::string> requests_;
  int fault_count_ = 0;
  std::uint64_t bytes_to_server_ = 0;
  std::uint64_t bytes_to_clients_ = 0;
  std::map<std::string, std::string> last_answers_;  // of GET, by target
  std::set<int> sockets_;                            // that threads may be waiting for
  std::list<Served> served_;
  std::thread acceptor_;
};

}  // namespace pgstrata::testing
