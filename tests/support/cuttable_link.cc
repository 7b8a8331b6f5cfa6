#include "support/cuttable_link.h"

#include <algorithm>
#include <array>
#include <chrono>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr int poll_ms = 5;

sockaddr_in local_address(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// How much may come from the server by now, when there is a limit.
class Allowance {
 public:
  // The time since the last call is allowed for, though never more than a tenth of a second at once.
  bool any(std::int64_t bytes_per_second) {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> passed = now - asked_;
    asked_ = now;
    left_ += std::min(passed.count(), 0.1) * static_cast<double>(bytes_per_second);
    left_ = std::min(left_, 0.1 * static_cast<double>(bytes_per_second));
    return bytes_per_second == 0 || left_ > 0;
  }
  void spend(ssize_t bytes) { left_ -= static_cast<double>(bytes); }

 private:
  std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
  double left_ = 0;
};

// How much that was; 0 when `from` has ended.
std::int64_t pass(int from, int to) {
  std::array<char, 65536> buffer{};
  const ssize_t count = ::recv(from, buffer.data(), buffer.size(), 0);
  for (ssize_t sent = 0; sent < count;) {
    const ssize_t now =
        ::send(to, buffer.data() + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL);
    if (now <= 0) return 0;
    sent += now;
  }
  return std::max<std::int64_t>(count, 0);
}

int connect_to(int port) {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = local_address(port);
  if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return server;
  ::close(server);
  return -1;
}

}  // namespace

CuttableLink::CuttableLink(int server_port) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto address = local_address(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw TestFailure("could not listen on 127.0.0.1");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this, server_port] { run(server_port); });
}

CuttableLink::~CuttableLink() {
  ending_ = true;
  thread_.join();
  ::close(listener_);
}

void CuttableLink::run(int server_port) {
  std::vector<Pair> pairs;
  const auto close_pair = [](const Pair& pair) {
    ::close(pair.client);
    ::close(pair.server);
  };
  Allowance allowance;
  while (!ending_) {
    if (cut_.exchange(false)) {
      for (const Pair& pair : pairs) close_pair(pair);
      pairs.clear();
    }
    const short wanted = stalled_ ? 0 : POLLIN;
    const short wanted_of_server = allowance.any(bytes_per_second_) ? wanted : short{0};
    std::vector<pollfd> waited{{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      waited.push_back({pair.client, wanted, 0});
      waited.push_back({pair.server, wanted_of_server, 0});
    }
    if (::poll(waited.data(), waited.size(), poll_ms) <= 0) continue;
    std::vector<Pair> kept;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const Pair& pair = pairs[i];
      bool alive = waited[1 + 2 * i].revents == 0 || pass(pair.client, pair.server) > 0;
      if (alive && waited[2 + 2 * i].revents != 0) {
        const auto passed = pass(pair.server, pair.client);
        allowance.spend(passed);
        alive = passed > 0;
        if ((until_stall_bytes_ -= passed) <= 0) stalled_ = true;
      }
      if (alive) {
        kept.push_back(pair);
      } else {
        close_pair(pair);
      }
    }
    pairs = std::move(kept);
    if (waited[0].revents == 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int server = client < 0 ? -1 : connect_to(server_port);
    if (server >= 0) {
      pairs.push_back({client, server});
      ++accepted_;
    } else if (client >= 0) {
      ::close(client);
    }
  }
  for (const Pair& pair : pairs) close_pair(pair);
}

}  // namespace pgstrata::testing
