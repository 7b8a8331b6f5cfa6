// Reading what may be a copy that a store keeps beside the object. Internal to the room.
#pragma once

#include "storage/object_store.h"

namespace pgstrata {

// What `read` gives of that range; once more where that is damaged and there was a copy, from the object itself.
template <class Read>
auto read_past_copies(ObjectStore& store, std::string_view name, std::uint64_t offset,
                      std::uint64_t size_bytes, const Read& read) {
  auto result = read();
  const bool damaged = !result.has_value() && result.error().code() == ErrorCode::damaged;
  if (!damaged || !store.forget_copies(name, offset, size_bytes)) return result;
  return read();
}

}  // namespace pgstrata
