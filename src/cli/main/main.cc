// The program `pgstrata`.
#include <iostream>
#include <optional>

#include <malloc.h>
#include <unistd.h>

#include "cli/program.h"
#include "cli/redact.h"
#include "cli/stop_signals.h"

namespace {

// What was freed is wanted again soon: a segment of WAL, a window of an object. By default the kernel takes
// pieces of that size back at once and clears each page when it hands it out again, which costs more than to
// decompress into it.
void keep_freed_memory() {
  constexpr int largest_piece_bytes = 32 << 20;  // glibc allows no more
  constexpr int kept_bytes = 64 << 20;
  ::mallopt(M_MMAP_THRESHOLD, largest_piece_bytes);
  ::mallopt(M_TRIM_THRESHOLD, kept_bytes);
}

// Its threads are many, and each would keep what it freed for itself.
void share_freed_memory() {
  ::mallopt(M_ARENA_MAX, 2);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  pgstrata::redact_arguments({argv + 1, argv + argc});
  // There is a mount process for each branch: those have to be small.
  if (pgstrata::is_mount_branch(arguments)) {
    share_freed_memory();
  } else {
    keep_freed_memory();
  }
  pgstrata::Cancellation cancellation;
  std::optional<pgstrata::StopSignals> signals;
  // Recovery expects its restore_command to die of SIGTERM; a mount ends its session by itself.
  if (!pgstrata::is_wal_fetch(arguments) && !pgstrata::is_mount_branch(arguments))
    signals.emplace(cancellation);
  pgstrata::Console console(std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
  return pgstrata::run_program(arguments, console, cancellation);
}
