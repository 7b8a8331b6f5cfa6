// Getting at a repository: from the words of a command to an open Repository.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "app/key_choice.h"
#include "base/cancellation.h"
#include "repo/repository.h"
#include "storage/s3/s3_location.h"

namespace pgstrata {

using RepositoryPlace = std::variant<std::filesystem::path, S3Location>;

// A repository's place as the operator writes it: "/srv/backup", "backup", "file:///srv/backup" or
// "s3://bucket/prefix?endpoint=..." (storage/s3/s3_location.h). Error: usage.
[[nodiscard]] Result<RepositoryPlace> parse_repository_location(std::string_view location);

// The store at that place. `cancellation` is borrowed for the life of the store: once it is requested, a server that is
// away is not waited for. Errors: those of parse_repository_location, DiskStore::open and S3Store::open.
[[nodiscard]] Result<std::unique_ptr<ObjectStore>> open_store(const std::string& location,
                                                              const Cancellation* cancellation = nullptr);
// The same where there may be nothing yet: a folder is made, a bucket is not.
[[nodiscard]] Result<std::unique_ptr<ObjectStore>> make_store(const RepositoryPlace& place);

struct RepositoryAccess {
  std::string location;
  KeyChoice key;
  // Asks at the terminal; empty where there is none. Called only when a passphrase may open the repository
  // and no key was given. Its errors are passed on.
  std::function<Result<std::string>()> ask_passphrase = {};
  const Cancellation* cancellation = nullptr;  // as for open_store
};

// Errors: those of parse_repository_location, read_key_file and Repository::open.
[[nodiscard]] Result<Repository> open_repository(const RepositoryAccess& access);

}  // namespace pgstrata
