// A cluster's key as it is stored: JSON, wrapped by the repository key. Internal to the room.
// Format: docs/formats/repository.md.
#pragma once

#include "repo/repository.h"

namespace pgstrata {

[[nodiscard]] Bytes seal_cluster_key(const RepositoryId& repository, const SecretKey& repository_key,
                                     std::string_view cluster_name, const SecretKey& cluster_key);
// Errors: wrong_key (it says that it is wrapped by another key of this repository's); damaged (also a key copied from
// another cluster or repository); newer_format.
Result<SecretKey> open_cluster_key(const RepositoryId& repository, const SecretKey& repository_key,
                                   std::string_view cluster_name, ByteView stored);

}  // namespace pgstrata
