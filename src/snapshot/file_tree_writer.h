// Writing a snapshot's file tree: nodes are cut where the paths say (by their hash), so the same files give
// the same nodes in every snapshot, and a node that did not change is found again by its tag.
#pragma once

#include <set>

#include "snapshot/chunk_store.h"
#include "snapshot/file_tree_node.h"

namespace pgstrata {

// Belongs to one thread. Entries are held in memory until finish: some 250 bytes a file.
class FileTreeWriter {
 public:
  explicit FileTreeWriter(ChunkStore& store);

  // One leaf of a page map, durable after finish.
  Result<NodeRef> put_page_map_leaf(std::span<const ExtentRef> extents);
  // Paths in any order, each once.
  void add(FileEntry entry);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  // Writes the nodes; everything put is durable when it returns. Gives the root.
  // Error: failed, when a path was added twice.
  Result<ChunkRef> finish();

  [[nodiscard]] const std::set<PackId>& packs() const { return chunks_.packs(); }

 private:
  Result<NodeRef> put_node(ByteView node);
  Result<std::vector<FileTreeChild>> write_leaves();
  Result<std::vector<FileTreeChild>> write_level(std::span<const FileTreeChild> children, int level);

  ChunkWriter chunks_;
  std::vector<FileEntry> entries_;
};

}  // namespace pgstrata
