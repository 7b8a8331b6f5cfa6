// A data directory as an overlay over a snapshot left it, stored as the file tree of a new snapshot.
//
// What the overlay did not touch is referred to as the old tree has it; of what it did, changed extents are
// stored, as differences where that is shorter. What a server makes anew when it starts, and what is one
// server's own, is left out, as a base backup leaves it out. Internal to the room.
#pragma once

#include <set>

#include "base/cancellation.h"
#include "branch/overlay.h"
#include "catalog/snapshot_record.h"
#include "snapshot/chunk_store.h"

namespace pgstrata {

struct StoredOverlay {
  ChunkRef tree;
  std::vector<PackId> packs;  // all that the tree reaches, sorted
  std::uint64_t files = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t changed_extents = 0;
  std::set<Oid> tablespaces;  // those that the data directory has, linked to or in place
};

// `overlay` over the files of `previous`, mounted nowhere. Everything is durable when it returns. `workers` 0:
// one for each core. Errors: damaged, no_space, cancelled; those of the store.
Result<StoredOverlay> store_overlay(const ClusterSpace& space, const SnapshotRecord& previous,
                                    Overlay& overlay, ChunkStore& store, unsigned workers,
                                    const Cancellation& cancellation);

// Whether a rolled snapshot leaves a path of the data directory out. For a folder that means its content: the
// folder itself stays.
[[nodiscard]] bool left_out_of_snapshots(std::string_view path);

}  // namespace pgstrata
