// Reading what may be a copy that a store keeps beside the object. Internal to the room.
#pragma once

#include "storage/object_store.h"

namespace pgstrata {

// Whether what was read may be a wrong copy. A version is read before anything is authenticated.
inline bool may_be_wrong_copy(const Error& error) {
  return error.code() == ErrorCode::damaged || error.code() == ErrorCode::newer_format;
}

// What `read` gives of that range; once more where that may be a wrong copy and there was one, from the object
// itself.
template <class Read>
auto read_past_copies(ObjectStore& store, std::string_view name, std::uint64_t offset,
                      std::uint64_t size_bytes, const Read& read) {
  auto result = read();
  const bool wrong = !result.has_value() && may_be_wrong_copy(result.error());
  if (!wrong || !store.forget_copies(name, offset, size_bytes)) return result;
  return read();
}

}  // namespace pgstrata
