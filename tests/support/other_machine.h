// Machines beside this one: with a network link of their own that can be pulled, a host name and processes that nobody
// else sees. For root alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "support/port_reservation.h"

namespace pgstrata::testing {

// Addresses for this machine and those beside it, in 198.18.0.0/15, which no real network has (RFC 2544). No two test
// processes have the same. Has to outlive the machines.
class MachineNetwork {
 public:
  // Whoever runs the tests may make machines.
  [[nodiscard]] static bool possible();

  // Where servers here are reached from there, once there is a machine.
  [[nodiscard]] std::string here() const { return address(1); }
  [[nodiscard]] std::string address(int number) const;
  // For what the kernel knows by name: 12 characters.
  [[nodiscard]] std::string name(int number) const;

 private:
  PortReservation number_;
};

// Made of namespaces: network, processes, host name. What runs there sees the files of this machine. The destructor
// takes the network away; processes end by themselves, or by whoever started them. Throws TestFailure.
class OtherMachine {
 public:
  // `number`: from 2 to 4, its own within the network.
  OtherMachine(const MachineNetwork& network, int number);
  ~OtherMachine();
  OtherMachine(const OtherMachine&) = delete;
  OtherMachine& operator=(const OtherMachine&) = delete;

  // Nothing goes through, either way, and nobody is told.
  void unplug() const;
  void plug_in() const;

  [[nodiscard]] std::string host_name() const;
  [[nodiscard]] std::string address() const { return network_.address(number_); }
  // For root to start: runs `arguments` there as the server user, as the only child of what was started, which ends
  // with it.
  [[nodiscard]] std::vector<std::string> command_there(const std::vector<std::string>& arguments) const;
  static void send_signal_to_child(pid_t started, int signal_number);

 private:
  [[nodiscard]] std::string name() const { return network_.name(number_); }
  void remove() const;

  const MachineNetwork& network_;
  const int number_;
};

}  // namespace pgstrata::testing
