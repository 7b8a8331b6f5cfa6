// Walking the tree of commands: for completion and for the reference.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace pgstrata {

struct NamedCommand {
  std::string name;  // "snapshot list"; empty for the program itself
  const CLI::App* app;
};

// The program, then every command, hidden ones included, parents before children.
[[nodiscard]] std::vector<NamedCommand> all_commands(const CLI::App& program);
// Those that help lists.
[[nodiscard]] std::vector<const CLI::App*> visible_commands(const CLI::App& app);
// "-v", "--verbose"; nothing for an argument without a flag.
[[nodiscard]] std::vector<std::string> option_names(const CLI::Option& option);
// False for a flag.
[[nodiscard]] bool takes_value(const CLI::Option& option);

}  // namespace pgstrata
