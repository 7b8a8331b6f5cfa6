#include "support/port_reservation.h"

#include <cstddef>
#include <cstring>
#include <random>
#include <string>

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr int first_port = 20'000;
constexpr int port_count = 10'000;

// The socket that holds the name, or -1 when another process has it.
int reserve_name(int port) {
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) throw TestFailure("could not make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = fmt::format("pgstrata-test-port-{}", port);
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // a leading zero byte: abstract
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&address), length) == 0) return descriptor;
  close(descriptor);
  return -1;
}

bool port_is_free(int port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) throw TestFailure("could not make a socket");
  const int on = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<in_port_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(descriptor);
  return free;
}

}  // namespace

PortReservation::PortReservation() {
  // Where the search starts does not change what a test does, so it needs no seed.
  const int start = static_cast<int>(std::random_device{}() % port_count);
  for (int step = 0; step < port_count; ++step) {
    const int candidate = first_port + (start + step) % port_count;
    const int name = reserve_name(candidate);
    if (name < 0) continue;
    if (port_is_free(candidate)) {
      port_ = candidate;
      name_ = name;
      return;
    }
    close(name);
  }
  throw TestFailure("no TCP port is free");
}

PortReservation::~PortReservation() {
  close(name_);
}

}  // namespace pgstrata::testing
