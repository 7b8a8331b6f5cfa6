// `init`: makes a repository.
#pragma once

#include <optional>

#include "app/repository_access.h"

namespace pgstrata {

struct InitRequest {
  std::string location;
  KeyChoice key;
};

struct InitOutcome {
  std::string location;  // as open_store takes it from anywhere on this machine
  std::string id;        // hexadecimal
  KeySlotInfo key_slot;
  std::optional<std::filesystem::path> key_file;  // absolute
  bool key_file_generated = false;
};

// Encryption is on unless it is declined in so many words: an empty KeyChoice is a usage error. A key file
// that does not exist is generated, and is durable before the repository exists. Errors: usage (also a key
// file inside the repository's folder, and a folder inside another repository or a data directory),
// already_exists, and those of read_key_file and Repository::create.
[[nodiscard]] Result<InitOutcome> init_repository(const InitRequest& request, const Clock& clock);

}  // namespace pgstrata
