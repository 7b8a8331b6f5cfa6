// Single nodes of trees, for who walks many trees that share them. Internal to this room. Belongs to one thread.
#pragma once

#include "snapshot/file_tree_node.h"

namespace pgstrata {

inline constexpr int max_tree_depth = 16;  // far beyond what any number of files needs

class TreeNodeReader {
 public:
  explicit TreeNodeReader(const ClusterSpace& space) : chunks_(space) {}

  // Errors: damaged, not_found; those of the store.
  Result<FileTreeNode> node(const ChunkRef& ref) {
    PGS_TRY(const auto bytes, content(ref));
    return decode_file_tree_node(bytes).context("file tree in pack " + to_string(ref.pack));
  }
  Result<std::vector<ExtentRef>> leaf(const ChunkRef& ref) {
    PGS_TRY(const auto bytes, content(ref));
    return decode_page_map_leaf(bytes).context("page map in pack " + to_string(ref.pack));
  }
  // Of any chunk; valid until the next call.
  Result<ByteView> content(const ChunkRef& ref) {
    PGS_TRY(const auto size, chunks_.read(ref, scratch_.whole()));
    return ByteView(scratch_.data(), size);
  }

 private:
  ChunkReader chunks_;
  Buffer scratch_{max_chunk_content_bytes};
};

}  // namespace pgstrata
