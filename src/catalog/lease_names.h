// The leases of a cluster (repo/lease.h). Work of different kinds may run side by side, two of one kind may not.
#pragma once

#include <array>

namespace pgstrata {

inline constexpr const char* stream_lease_name = "stream";
inline constexpr const char* backup_lease_name = "backup";
inline constexpr const char* copy_lease_name = "copy";  // held in the repository that is copied to
inline constexpr const char* prune_lease_name = "prune";

// Of those who publish snapshots, and refer in them to packs that they found.
inline constexpr std::array<const char*, 2> publishers_lease_names{backup_lease_name, copy_lease_name};

}  // namespace pgstrata
