// The flags of `restore` and what they ask for.
#pragma once

#include <string>
#include <vector>

#include "app/restore_target.h"
#include "cli/command.h"
#include "cli/target_flags.h"

namespace pgstrata {

struct RestoreFlags {
  std::string cluster;
  std::string directory;
  TargetFlags target;
  bool delta = false;
  bool start = false;
  std::vector<std::string> tablespaces;  // "FROM=TO"
  std::vector<std::string> settings;     // "NAME=VALUE"
};

// `flags` is borrowed for the life of the command.
void add_restore_flags(CLI::App& command, RestoreFlags& flags);

// "FROM=TO", as pg_basebackup takes it. Error: usage.
[[nodiscard]] Result<TablespaceMapping> parse_tablespace_argument(const std::string& text);

// All but the repository's location and the callbacks. Error: usage.
[[nodiscard]] Result<RestoreRequest> restore_request(const RestoreFlags& flags, const Clock& clock);

}  // namespace pgstrata
