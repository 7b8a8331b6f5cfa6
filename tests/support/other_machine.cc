#include "support/other_machine.h"

#include <csignal>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "support/child_process.h"
#include "support/test_failure.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

constexpr auto* here_mac = "02:00:00:00:00:01";
constexpr auto* there_mac = "02:00:00:00:00:02";
constexpr auto command_limit = std::chrono::seconds(20);

std::string program(std::string_view name) {
  for (const auto* folder : {"/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    std::string path = fmt::format("{}/{}", folder, name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  throw TestFailure(fmt::format("{} is not installed: run scripts/install-packages test", name));
}

ProgramRun run_ip(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program("ip"));
  const TemporaryDirectory scratch;
  const ChildCommand command{.arguments = std::move(arguments),
                             .output = scratch.path() / "out",
                             .errors = scratch.path() / "err",
                             .as_server_user = false};
  ChildProcess process(command);
  const int exit_code = process.wait(command_limit);
  return {.exit_code = exit_code, .out = read_text(command.output), .err = read_text(command.errors)};
}

void ip(const std::vector<std::string>& arguments) {
  const ProgramRun run = run_ip(arguments);
  if (run.exit_code != 0)
    throw TestFailure(fmt::format("ip {}: {}", fmt::join(arguments, " "), run.describe()));
}

}  // namespace

bool MachineNetwork::possible() {
  if (::geteuid() != 0) return false;
  const MachineNetwork probe;
  const bool made = run_ip({"netns", "add", probe.name(0)}).exit_code == 0;
  return made && run_ip({"netns", "delete", probe.name(0)}).exit_code == 0;
}

std::string MachineNetwork::address(int number) const {
  const int host = number_.port() * 4 + number;
  return fmt::format("198.{}.{}.{}", 18 + host / 65536, host / 256 % 256, host % 256);
}

std::string MachineNetwork::name(int number) const {
  return fmt::format("pgs-{}-{}", number_.port(), number);
}

OtherMachine::OtherMachine(const MachineNetwork& network, int number) : network_(network), number_(number) {
  remove();  // what a process that was killed has left: its number is ours now
  try {
    ip({"netns", "add", name()});
    ip({"link", "add", name(), "address", here_mac, "type", "veth", "peer", "name", "eth0", "address",
        there_mac, "netns", name()});
    ip({"address", "add", network_.here() + "/32", "peer", address() + "/32", "dev", name()});
    ip({"-n", name(), "address", "add", address() + "/32", "peer", network_.here() + "/32", "dev", "eth0"});
    ip({"-n", name(), "link", "set", "lo", "up"});
    ip({"-n", name(), "link", "set", "eth0", "up"});
    // Known without asking: who asks is told when nobody answers.
    ip({"-n", name(), "neighbour", "add", network_.here(), "lladdr", here_mac, "dev", "eth0", "nud",
        "permanent"});
    plug_in();
  } catch (...) {
    remove();
    throw;
  }
}

OtherMachine::~OtherMachine() {
  try {
    remove();
  } catch (const TestFailure&) {  // it is told where it matters: by whoever wants the name again
  }
}

void OtherMachine::remove() const {
  static_cast<void>(run_ip({"link", "delete", name()}));
  static_cast<void>(run_ip({"netns", "delete", name()}));
}

void OtherMachine::unplug() const {
  ip({"link", "set", name(), "down"});
}

void OtherMachine::plug_in() const {
  ip({"link", "set", name(), "up"});
}

std::string OtherMachine::host_name() const {
  return fmt::format("machine-{}", number_);
}

std::vector<std::string> OtherMachine::command_there(const std::vector<std::string>& arguments) const {
  const std::string become =
      fmt::format("{} {} && exec {} --reuid={} --regid={} --init-groups \"$@\"", program("hostname"),
                  host_name(), program("setpriv"), server_user().uid, server_user().gid);
  std::vector<std::string> command{
      program("ip"), "netns",  "exec",         name(),         program("unshare"), "--pid",
      "--uts",       "--fork", "--mount-proc", "--kill-child", program("sh"),      "-c",
      become,        "sh"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

void OtherMachine::send_signal_to_child(pid_t started, int signal_number) {
  std::string children;
  wait_until("a process on another machine", [&] {
    children = read_text(fmt::format("/proc/{0}/task/{0}/children", started));
    return !children.empty() || ::kill(started, 0) != 0;
  });
  if (!children.empty()) ::kill(std::stoi(children), signal_number);
}

}  // namespace pgstrata::testing
