// Where the programs of a PostgreSQL major are on this machine.
//
// Looked for, in this order: the folders that PGSTRATA_PG_BINDIR names (separated by ":"), Debian's
// /usr/lib/postgresql/N/bin, the PostgreSQL project's RPMs' /usr/pgsql-N/bin, PATH. A value; thread-safe.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

class ServerInstallation {
 public:
  // Error: not_found, with the package to install as the hint.
  [[nodiscard]] static Result<ServerInstallation> find(int major);

  [[nodiscard]] int major() const { return major_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  // As server_version_num (150018): asks the program.
  [[nodiscard]] Result<std::uint32_t> version() const;
  // Absolute path of "postgres", "initdb", "pg_verifybackup" … Error: not_found (a package apart, such as the
  // client's).
  [[nodiscard]] Result<std::filesystem::path> program(std::string_view name) const;

 private:
  ServerInstallation(int major, std::filesystem::path directory)
      : major_(major), directory_(std::move(directory)) {}

  int major_;
  std::filesystem::path directory_;
};

// The major that a data directory belongs to (PG_VERSION). Errors: not_found, damaged.
[[nodiscard]] Result<int> major_of_data_directory(const std::filesystem::path& data_directory);

// The user as whom programs on this data directory run: its owner when this process is root, else nothing (as
// we are). Error: permission, when root owns it, since PostgreSQL refuses root.
[[nodiscard]] Result<std::optional<std::string>> user_for_data_directory(
    const std::filesystem::path& data_directory);

// Who owns a folder. Errors: failed, when it is a link or no folder; permission, when he is unknown here.
[[nodiscard]] Result<std::string> owner_of_folder(const std::filesystem::path& folder);

}  // namespace pgstrata
