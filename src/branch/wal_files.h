// WAL segments of the repository as the files of pg_wal, read as they are asked for. Paths are their names.
//
// Only what a branch may see: bytes from the end on are zeros, which is where recovery takes the WAL to end.
#pragma once

#include <vector>

#include "branch/base_files.h"
#include "branch/wal_patch.h"

namespace pgstrata {

struct VisibleWal {
  std::uint32_t segment_bytes = 0;
  Lsn end;
  std::vector<RecoverySegment> sealed;  // each whole in the repository, by an object of its own
  std::vector<WalPatch> patches;        // in its place
};

// `space` is copied; its store is borrowed.
[[nodiscard]] std::unique_ptr<BaseFiles> open_wal_files(const ClusterSpace& space, VisibleWal wal);

}  // namespace pgstrata
