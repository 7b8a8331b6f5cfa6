// The id of a repository key as a field of clear JSON. Internal to the room.
#pragma once

#include <algorithm>

#include "repo/clear_json.h"
#include "repo/key_slot.h"

namespace pgstrata {

// Error: damaged, when it is missing or not what it should be.
inline Result<RepositoryKeyId> key_id_field(const nlohmann::json& json, const char* field) {
  RepositoryKeyId id;
  PGS_TRY(const Bytes bytes, hex_field(json, field, id.size()));
  std::ranges::copy(bytes, id.begin());
  return id;
}

// Nothing where versions that knew no rotation wrote none. Error: damaged.
inline Result<std::optional<RepositoryKeyId>> optional_key_id_field(const nlohmann::json& json,
                                                                    const char* field) {
  if (!json.contains(field)) return std::optional<RepositoryKeyId>();
  PGS_TRY(const RepositoryKeyId id, key_id_field(json, field));
  return std::optional(id);
}

}  // namespace pgstrata
