// The files of a snapshot, read page by page as they are asked for. Paths are the snapshot's.
//
// Reading is by extent (128 KiB): the ones last used are cached, and the ones that follow are read ahead where
// a file is read from front to back. Memory: the cache, and page map leaves of 64 KiB for the files last read.
#pragma once

#include "branch/base_files.h"
#include "catalog/snapshot_record.h"

namespace pgstrata {

struct SnapshotFilesOptions {
  std::size_t cache_bytes = 16U << 20;
  unsigned read_ahead_extents = 16;
};

// `space` is copied; its store is borrowed.
[[nodiscard]] std::unique_ptr<BaseFiles> open_snapshot_files(const ClusterSpace& space,
                                                             const SnapshotRecord& snapshot,
                                                             const SnapshotFilesOptions& options = {});

}  // namespace pgstrata
