// From a secret to the keys that open what the repository holds, also while its key is being rotated. Internal to the
// room.
#pragma once

#include "repo/rotation_record.h"
#include "repo/stored_slots.h"

namespace pgstrata {

// What `key` opens, as the rotation stands; nothing when it is a key that no longer does. Error: damaged.
Result<std::optional<KeyRing>> ring_of(const RepositoryId& id, const SecretKey& key,
                                       const std::optional<StoredRotation>& rotation);

// Whether a slot's key opens what the repository holds, as far as the slot tells.
[[nodiscard]] bool is_of_use(const KeySlotInfo& slot, const std::optional<StoredRotation>& rotation);

struct OpenedRing {
  KeyRing ring;
  std::string slot;                // the id of the one that gave the key
  std::vector<KeySlotKind> kinds;  // of the slots there are
};

// Tries `source` on every slot of its kind. Errors: wrong_key (no slot opens, or one with a key that is of no use
// any more); usage (an unfit secret); newer_format; damaged.
Result<OpenedRing> open_ring(ObjectStore& store, const RepositoryId& id, const KeySource& source);

}  // namespace pgstrata
