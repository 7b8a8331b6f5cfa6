// The flags that say which moment is meant, the same for every command that takes one.
#pragma once

#include <optional>
#include <string>

#include "cli/command.h"
#include "restore/recovery_target.h"

namespace pgstrata {

struct TargetFlags {
  std::optional<std::string> at;
  std::optional<std::string> lsn;
  std::optional<std::string> xid;
  std::optional<std::string> restore_point;
  bool latest = false;
  bool exclusive = false;
  std::optional<std::string> timeline;
  std::optional<std::string> zone;
};

// `flags` is borrowed for the life of the command. `time_flag` is what the time is given with, `latest_help`
// is added to what help says of --latest.
void add_target_flags(CLI::App& command, TargetFlags& flags, const std::string& time_flag = "--at",
                      const std::string& latest_help = " (default)");
// Whether any of them says which moment.
[[nodiscard]] bool has_target(const TargetFlags& flags);

// Error: usage.
[[nodiscard]] Result<RecoveryTarget> recovery_target(const TargetFlags& flags, const Clock& clock);

}  // namespace pgstrata
