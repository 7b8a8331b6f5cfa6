// The TOML file with settings: which keys there are, and reading it. Reference: docs/cli.md.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "app/prune_repository.h"
#include "base/log.h"
#include "base/result.h"

namespace pgstrata {

struct ConfigFile {
  std::optional<std::string> repo;
  std::optional<std::string> key_file;
  std::optional<std::string> passphrase_env;  // the name of a variable, never a passphrase
  std::optional<std::string> state_dir;
  std::optional<Severity> log;  // from which severity on messages are shown
  RetentionPolicies retention;
};

// `name` is for messages. Error: usage, naming file and line (not TOML, an unknown key, a value of another
// type).
[[nodiscard]] Result<ConfigFile> parse_config(std::string_view text, std::string_view name);

// Errors: not_found, permission, and those of parse_config.
[[nodiscard]] Result<ConfigFile> read_config(const std::filesystem::path& path);

// "debug", "info", "warning" or "error". Nothing for any other text.
[[nodiscard]] std::optional<Severity> parse_severity(std::string_view text);

}  // namespace pgstrata
