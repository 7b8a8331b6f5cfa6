// A TCP port on 127.0.0.1 for one test server.
#pragma once

namespace pgstrata::testing {

// Reserved machine-wide among test processes for as long as this lives (by a name in the abstract socket
// namespace, which the kernel drops with the process), and found free of others when taken. It lies below the
// range that the kernel gives to outgoing connections.
class PortReservation {
 public:
  PortReservation();
  ~PortReservation();
  PortReservation(const PortReservation&) = delete;
  PortReservation& operator=(const PortReservation&) = delete;

  [[nodiscard]] int port() const { return port_; }

 private:
  int port_ = 0;
  int name_ = -1;
};

}  // namespace pgstrata::testing
