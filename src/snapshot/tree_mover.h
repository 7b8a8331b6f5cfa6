// Trees like others, out of some packs: each chunk that they reach there is stored anew, once, and so is each node above it.
// Belongs to one thread. Memory: some 200 bytes for each node and 100 for each chunk that moves, and four for each pack of each
// node.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/cancellation.h"
#include "snapshot/chunk_store.h"
#include "snapshot/tree_node_reader.h"

namespace pgstrata {

struct MovedTree {
  ChunkRef root;
  std::vector<PackId> packs;  // all that it reaches, sorted
};

class TreeMover {
 public:
  // `store` knows nothing of what is in `leaving` (ChunkStore::leave). All are borrowed.
  TreeMover(ChunkStore& store, const std::set<PackId>& leaving, const Cancellation& cancellation);

  // Durable after finish. Errors: damaged, not_found, cancelled; those of the store.
  Result<MovedTree> move(const ChunkRef& root);
  Result<void> finish();

 private:
  using PackNumbers = std::set<std::uint32_t>;
  struct MovedNode {
    NodeRef node;
    std::shared_ptr<const std::vector<std::uint32_t>> packs;  // numbers of its own and of all below
  };
  std::uint32_t number_of(const PackId& pack);
  Result<MovedNode> move_node(const NodeRef& node, int depth);
  Result<MovedNode> move_leaf(const NodeRef& node);
  Result<MovedNode> settle(const NodeRef& node, bool changed, const std::function<Bytes()>& encode,
                           PackNumbers packs);
  // Whether any has moved.
  Result<bool> move_extents(std::vector<ExtentRef>& extents, PackNumbers& packs);
  Result<bool> move_chunk(ChunkRef& chunk, const ContentTag* tag,
                          int compression_level = snapshot_compression_level);

  TreeNodeReader nodes_;
  ChunkWriter data_;
  ChunkWriter map_;
  const std::set<PackId>& leaving_;
  const Cancellation& cancellation_;
  std::map<ChunkRef, MovedNode> moved_nodes_;
  std::map<ChunkRef, ChunkRef> moved_chunks_;
  std::map<PackId, std::uint32_t> pack_numbers_;
  std::vector<PackId> packs_by_number_;
};

}  // namespace pgstrata
