// The flags of `restore` and what they ask for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/restore_target.h"
#include "cli/command.h"

namespace pgstrata {

struct RestoreFlags {
  std::string cluster;
  std::string directory;
  std::optional<std::string> at;
  std::optional<std::string> lsn;
  std::optional<std::string> xid;
  std::optional<std::string> restore_point;
  bool latest = false;
  bool exclusive = false;
  std::optional<std::string> timeline;
  std::optional<std::string> zone;
  bool delta = false;
  bool start = false;
  std::vector<std::string> tablespaces;  // "FROM=TO"
  std::vector<std::string> settings;     // "NAME=VALUE"
};

// `flags` is borrowed for the life of the command.
void add_restore_flags(CLI::App& command, RestoreFlags& flags);

// Error: usage.
[[nodiscard]] Result<RecoveryTarget> recovery_target(const RestoreFlags& flags, const Clock& clock);
// All but the repository's location and the callbacks. Error: usage.
[[nodiscard]] Result<RestoreRequest> restore_request(const RestoreFlags& flags, const Clock& clock);

}  // namespace pgstrata
