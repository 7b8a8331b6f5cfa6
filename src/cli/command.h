// What one command is given to work with, and how commands are added to the program.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "app/repository_access.h"
#include "base/cancellation.h"
#include "cli/console.h"
#include "cli/settings.h"

namespace pgstrata {

using Json = nlohmann::ordered_json;

// Borrowed by the command for the time it runs.
struct CommandContext {
  const Settings& settings;
  OutputFormat output;
  Console& console;
  const Cancellation& cancellation;
  const Clock& clock;

  // The result: as JSON with --output json, else as the text.
  void print(const Json& json, std::string_view text) const;
  // The repository that the settings name; asks for its passphrase at a terminal.
  [[nodiscard]] Result<Repository> open_repository() const;
};

// The exit code, where a result was printed and is bad news (6); else 0.
using CommandAction = std::function<Result<int>(const CommandContext& context)>;

// What the command line said.
struct Invocation {
  SharedFlags flags;
  CommandAction action;  // of the command that was named
  bool needs_settings = true;
};

struct CommandDescription {
  std::string name;
  std::string summary;  // one line, for the list of commands
  std::string details;  // what --help says beyond it: examples, exit codes
};

// A command with the flags that all take. `invocation` is borrowed for the life of the program's CLI::App.
CLI::App* add_command(CLI::App& parent, Invocation& invocation, const CommandDescription& description,
                      CommandAction action);
// A command that takes none of them and reads no settings.
CLI::App* add_plain_command(CLI::App& parent, Invocation& invocation, const CommandDescription& description,
                            CommandAction action);
// A noun whose verbs are added to it: "snapshot".
CLI::App* add_noun(CLI::App& parent, const std::string& name, const std::string& summary);

// The positional argument CLUSTER.
CLI::Option* add_cluster_argument(CLI::App& command, std::string& cluster);

}  // namespace pgstrata
