// How much of each pack some trees reach. Reads each node that they share once. Belongs to one thread; some 50 bytes a chunk.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "base/cancellation.h"
#include "snapshot/tree_node_reader.h"

namespace pgstrata {

class LiveChunks {
 public:
  // Both are borrowed.
  LiveChunks(const ClusterSpace& space, const Cancellation& cancellation)
      : nodes_(space), cancellation_(cancellation) {}

  // All that the tree reaches, its nodes included. Errors: damaged, not_found, cancelled; those of the store.
  Result<void> add(const ChunkRef& root);

  // Stored bytes of the pack's chunks that are reached.
  [[nodiscard]] std::uint64_t live_bytes(const PackId& pack) const;

 private:
  // Whether it was not known before.
  bool note(const ChunkRef& ref);
  Result<void> visit(const ChunkRef& ref, int depth);
  Result<void> visit_leaf(const ChunkRef& ref);
  void note_extents(std::span<const ExtentRef> extents);

  struct Pack {
    std::uint64_t live_bytes = 0;
    std::unordered_set<std::uint64_t> offsets;
  };
  TreeNodeReader nodes_;
  const Cancellation& cancellation_;
  std::map<PackId, Pack> packs_;
};

}  // namespace pgstrata
