// `key`: the ways to get at a repository's key, and another key.
#pragma once

#include "app/key_choice.h"
#include "repo/repository.h"

namespace pgstrata {

struct AddKeyOutcome {
  KeySlotInfo slot;
  bool key_file_generated = false;
};

// A key file that does not exist is generated. Errors: usage (no key was chosen), those of read_key_file and
// Repository::add_key_slot.
[[nodiscard]] Result<AddKeyOutcome> add_repository_key(Repository& repository, const KeyChoice& key,
                                                       const Clock& clock);

struct RotateKeyOutcome {
  KeyRotationOutcome rotation;
  bool key_file_generated = false;
};

// `key` opens the repository from now on; none: what has opened it. A key file that does not exist is generated. Errors:
// those of read_key_file and Repository::rotate_key.
[[nodiscard]] Result<RotateKeyOutcome> rotate_repository_key(Repository& repository, const KeyChoice& key,
                                                             const KeyRotationOptions& options,
                                                             const Clock& clock);

}  // namespace pgstrata
