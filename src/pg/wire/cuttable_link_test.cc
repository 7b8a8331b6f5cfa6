// The link of wire_test_support.h.
#include <array>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pg/wire/wire_test_support.h"

namespace pgstrata {
namespace {

sockaddr_in local_address(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// False when `from` has ended.
bool pass(int from, int to) {
  std::array<char, 65536> buffer{};
  const ssize_t count = ::recv(from, buffer.data(), buffer.size(), 0);
  if (count <= 0) return false;
  for (ssize_t sent = 0; sent < count;) {
    const ssize_t now =
        ::send(to, buffer.data() + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return true;
}

}  // namespace

CuttableLink::CuttableLink(int server_port) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto address = local_address(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 4) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw testing::TestFailure("could not listen on 127.0.0.1");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this, server_port] { run(server_port); });
}

CuttableLink::~CuttableLink() {
  cut_ = true;
  thread_.join();
  ::close(listener_);
}

void CuttableLink::run(int server_port) {
  int client = -1;
  int server = -1;
  while (!cut_) {
    std::array<pollfd, 3> waited = {
        {{listener_, POLLIN, 0}, {stalled_ ? -1 : client, POLLIN, 0}, {stalled_ ? -1 : server, POLLIN, 0}}};
    if (::poll(waited.data(), waited.size(), 5) <= 0) continue;
    if ((waited[0].revents & POLLIN) != 0) {
      if (client >= 0) ::close(client);
      if (server >= 0) ::close(server);
      client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const auto address = local_address(server_port);
      if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) break;
      continue;
    }
    const bool alive =
        (waited[1].revents == 0 || pass(client, server)) && (waited[2].revents == 0 || pass(server, client));
    if (!alive) break;
  }
  if (client >= 0) ::close(client);
  if (server >= 0) ::close(server);
}

}  // namespace pgstrata
