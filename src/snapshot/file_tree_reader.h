// Reading a snapshot's file tree. Each belongs to one thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "snapshot/file_tree_node.h"

namespace pgstrata {

class FileTreeReader {
 public:
  // Borrows nothing; `root` is the snapshot record's tree.
  FileTreeReader(const ClusterSpace& space, const ChunkRef& root);
  ~FileTreeReader();
  FileTreeReader(FileTreeReader&&) noexcept;
  FileTreeReader& operator=(FileTreeReader&&) noexcept;

  // Every entry, sorted by path. Memory: one node per level. Errors: damaged (names the pack), not_found,
  // those of `use`.
  Result<void> for_each(const std::function<Result<void>(const FileEntry&)>& use);

  // Nothing when the snapshot has no such path. Keeps the leaves it last used.
  Result<std::optional<FileEntry>> find(std::string_view path);

  // What is directly in a folder, sorted; "" is the top. Reads the nodes that hold those entries, and of each
  // folder below at most one more. Nothing for a folder that is not there.
  Result<void> for_each_in(std::string_view folder, const std::function<Result<void>(const FileEntry&)>& use);

  // The extents [first, first + count) of a file; count at most page_map_leaf_extents and within one leaf.
  Result<std::vector<ExtentRef>> extents(const FileEntry& file, std::uint64_t first, std::uint64_t count);

  // Every pack that the tree refers to, its own nodes' included. Reads every node.
  Result<std::set<PackId>> packs();

  // Every node's reference, parents before children, page map leaves included: for verify, and for finding
  // nodes again.
  Result<void> for_each_node(const std::function<Result<void>(const NodeRef&)>& use);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pgstrata
