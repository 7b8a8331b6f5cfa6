// The files of a snapshot, read page by page as they are asked for. Paths are the snapshot's.
//
// Reading is by extent (128 KiB): the ones last used are cached, here or where all branches of the cluster share
// them, and the ones that follow are read ahead where a file is read from front to back. Memory: the cache, and
// page map leaves of 64 KiB for the files last read.
#pragma once

#include "branch/base_files.h"
#include "branch/shared_cache.h"
#include "catalog/snapshot_record.h"

namespace pgstrata {

struct SnapshotFilesOptions {
  std::size_t cache_bytes = 16U << 20;  // of this process's own; a fraction of it beside a shared one
  SharedCache* shared = nullptr;        // borrowed
  unsigned read_ahead_extents = 16;
};

// `space` is copied; its store is borrowed.
[[nodiscard]] std::unique_ptr<BaseFiles> open_snapshot_files(const ClusterSpace& space,
                                                             const SnapshotRecord& snapshot,
                                                             const SnapshotFilesOptions& options = {});

}  // namespace pgstrata
