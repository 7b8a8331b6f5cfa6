// Getting at a repository: from the words of a command to an open Repository.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/key_choice.h"
#include "repo/repository.h"

namespace pgstrata {

// A repository's place as the operator writes it: "/srv/backup", "backup" or "file:///srv/backup".
// Errors: usage; unsupported ("s3://...", in this version).
[[nodiscard]] Result<std::filesystem::path> parse_repository_location(std::string_view location);

// The store at that place. Errors: those of parse_repository_location; not_found, permission.
[[nodiscard]] Result<std::unique_ptr<ObjectStore>> open_store(const std::string& location);

struct RepositoryAccess {
  std::string location;
  KeyChoice key;
  // Asks at the terminal; empty where there is none. Called only when a passphrase may open the repository
  // and no key was given. Its errors are passed on.
  std::function<Result<std::string>()> ask_passphrase = {};
};

// Errors: those of parse_repository_location, read_key_file and Repository::open.
[[nodiscard]] Result<Repository> open_repository(const RepositoryAccess& access);

}  // namespace pgstrata
