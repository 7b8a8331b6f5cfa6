// The key slots of a repository as they are stored. Internal to the room.
#pragma once

#include "repo/repository.h"

namespace pgstrata {

inline constexpr std::string_view key_slot_prefix = "keys/";

struct ListedSlot {
  std::string id;
  Bytes content;
};

// Also those that are damaged, or another repository's.
Result<std::vector<ListedSlot>> read_slots(ObjectStore& store);

// Errors: those of seal_key_slot.
Result<KeySlotInfo> put_new_slot(ObjectStore& store, const RepositoryId& id, const SecretKey& key,
                                 const KeySource& source, const Clock& clock);

}  // namespace pgstrata
