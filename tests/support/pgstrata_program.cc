#include "support/pgstrata_program.h"

#include <csignal>
#include <optional>

#include <fmt/format.h>

#include "support/test_failure.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

namespace fs = std::filesystem;

bool reachable_for_others(const fs::path& program) {
  for (fs::path at = program; at != at.root_path(); at = at.parent_path()) {
    if ((fs::status(at).permissions() & fs::perms::others_exec) == fs::perms::none) return false;
  }
  return true;
}

// A copy of the program where the server user can run it.
class ReachableCopy {
 public:
  explicit ReachableCopy(const fs::path& program) : path_(directory_.path() / "pgstrata") {
    fs::copy_file(program, path_);
    fs::permissions(path_, fs::perms(0755));
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  TemporaryDirectory directory_;
  fs::path path_;
};

int as_ourselves = 0;

std::vector<std::string> command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), pgstrata_path());
  return arguments;
}

}  // namespace

std::string pgstrata_path() {
  const fs::path program = PGSTRATA_PROGRAM;
  if (program.empty()) throw TestFailure("this build has no program `pgstrata`");
  if (!server_user().differs || reachable_for_others(program)) return program.string();
  static const ReachableCopy copy(program);
  return copy.path();
}

PgstrataAsOurselves::PgstrataAsOurselves() {
  ++as_ourselves;
}
PgstrataAsOurselves::~PgstrataAsOurselves() {
  --as_ourselves;
}

ProgramRun run_pgstrata(std::vector<std::string> arguments, const Environment& environment,
                        std::chrono::milliseconds limit) {
  return BackgroundPgstrata(std::move(arguments), environment).wait(limit);
}

BackgroundPgstrata::BackgroundPgstrata(std::vector<std::string> arguments, const Environment& environment)
    : process_(std::make_unique<ChildProcess>(ChildCommand{.arguments = command(std::move(arguments)),
                                                           .environment = environment,
                                                           .output = scratch_.path() / "out",
                                                           .errors = scratch_.path() / "err",
                                                           .as_server_user = as_ourselves == 0})) {}

BackgroundPgstrata::BackgroundPgstrata(const OtherMachine& machine, std::vector<std::string> arguments,
                                       const Environment& environment)
    : process_(std::make_unique<ChildProcess>(
          ChildCommand{.arguments = machine.command_there(command(std::move(arguments))),
                       .environment = environment,
                       .output = scratch_.path() / "out",
                       .errors = scratch_.path() / "err",
                       .as_server_user = false})),
      elsewhere_(true) {}

void BackgroundPgstrata::send_signal(int signal_number) {
  if (!elsewhere_) {
    process_->send_signal(signal_number);
  } else if (running()) {
    OtherMachine::send_signal_to_child(pid(), signal_number);
  }
}

void BackgroundPgstrata::wait_for_output(std::string_view text, std::chrono::milliseconds limit) {
  const auto found = [&] {
    // Asked first: what an ended program wrote is all there.
    const bool was_running = running();
    if (output().find(text) != std::string::npos || errors().find(text) != std::string::npos) return true;
    if (was_running) return false;
    throw TestFailure(fmt::format("pgstrata ended without saying \"{}\": {}", text, wait().describe()));
  };
  try {
    wait_until(fmt::format("pgstrata to say \"{}\"", text), found, limit);
  } catch (const TestFailure& failure) {
    throw TestFailure(fmt::format("{}\nstdout:\n{}\nstderr:\n{}", failure.what(), output(), errors()));
  }
}

ProgramRun BackgroundPgstrata::kill9() {
  send_signal(SIGKILL);
  return wait();
}

ProgramRun BackgroundPgstrata::wait(std::chrono::milliseconds limit) {
  const int exit_code = process_->wait(limit);
  return {.exit_code = exit_code, .out = output(), .err = errors()};
}

ProgramRun BackgroundPgstrata::terminate(std::chrono::milliseconds limit) {
  send_signal(SIGTERM);
  return wait(limit);
}

std::string BackgroundPgstrata::output() const {
  return read_text(scratch_.path() / "out");
}
std::string BackgroundPgstrata::errors() const {
  return read_text(scratch_.path() / "err");
}

}  // namespace pgstrata::testing
