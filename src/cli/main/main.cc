// The program `pgstrata`.
#include <iostream>
#include <optional>

#include <unistd.h>

#include "cli/program.h"
#include "cli/redact.h"
#include "cli/stop_signals.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  pgstrata::redact_arguments({argv + 1, argv + argc});
  pgstrata::Cancellation cancellation;
  std::optional<pgstrata::StopSignals> signals;
  // Recovery expects its restore_command to die of SIGTERM; a mount ends its session by itself.
  if (!pgstrata::is_wal_fetch(arguments) && !pgstrata::is_mount_branch(arguments))
    signals.emplace(cancellation);
  pgstrata::Console console(std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
  return pgstrata::run_program(arguments, console, cancellation);
}
