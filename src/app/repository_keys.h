// `key`: the ways to get at a repository's key.
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

}  // namespace pgstrata
