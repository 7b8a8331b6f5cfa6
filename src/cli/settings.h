// What holds for one command, from flags, then variables, then files.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "app/key_choice.h"
#include "app/prune_repository.h"
#include "base/log.h"
#include "sys/environment.h"

namespace pgstrata {

enum class OutputFormat { table, json };

// The flags that every command takes, as they were given.
struct SharedFlags {
  std::optional<std::string> config = {};
  std::optional<std::string> repo = {};
  std::optional<std::string> key_file = {};
  std::optional<std::string> passphrase_env = {};
  bool no_encryption = false;
  OutputFormat output = OutputFormat::table;
  bool verbose = false;
};

struct Settings {
  std::optional<std::string> repo;
  KeyChoice key;
  std::filesystem::path state_directory;  // absolute: where branches are kept on this machine
  Severity log = Severity::info;
  RetentionPolicies retention;
};

// The system's settings file. Tests give another one.
inline constexpr const char* system_config_path = "/etc/pgstrata/pgstrata.toml";

// Reads the file that --config or PGSTRATA_CONFIG names; without either the system's, then the user's over
// it, each when it exists. A key that is given at one level hides every key of the levels below. Errors:
// usage; those of read_config.
[[nodiscard]] Result<Settings> resolve_settings(
    const SharedFlags& flags, const EnvironmentLookup& environment,
    const std::filesystem::path& system_config = system_config_path);

// Error: usage, with a hint that says how to name one.
[[nodiscard]] Result<std::string> required_repository(const Settings& settings);

}  // namespace pgstrata
