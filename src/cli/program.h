// The command line as a whole: parse, run, report.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace pgstrata {

// The tree of commands, for parsing, for completion and for the reference's test. `invocation` is borrowed.
[[nodiscard]] std::unique_ptr<CLI::App> build_program(Invocation& invocation);

// Whether PostgreSQL's recovery is calling: exit codes and signals then mean what it makes of them.
[[nodiscard]] bool is_wal_fetch(const std::vector<std::string>& arguments);

// Whether this is the process that serves a branch's files: it has its own signal handling.
[[nodiscard]] bool is_mount_branch(const std::vector<std::string>& arguments);

// Runs `pgstrata ARGUMENTS...`. Results go to the console's output, errors to its messages as
//   pgstrata: error: ...
//   hint: ...
// Returns the exit code (base/error.h). Never throws.
int run_program(const std::vector<std::string>& arguments, Console& console,
                const Cancellation& cancellation);

}  // namespace pgstrata
