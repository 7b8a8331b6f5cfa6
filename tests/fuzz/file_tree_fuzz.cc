// Nodes of a snapshot's file tree and page maps: what parses is written back and parses the same.
#include <algorithm>

#include "snapshot/file_tree_node.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto extents = decode_page_map_leaf(bytes)) {
    const auto again = decode_page_map_leaf(encode_page_map_leaf(*extents));
    PGS_ASSERT(again && again->size() == extents->size());
  }
  if (const auto node = decode_file_tree_node(bytes)) {
    const auto written = node->children.empty() ? encode_file_tree_leaf(node->entries)
                                                : encode_file_tree_inner(node->children);
    const auto again = decode_file_tree_node(written);
    PGS_ASSERT(again &&
               std::ranges::equal(again->entries, node->entries, {}, &FileEntry::path, &FileEntry::path));
  }
  return 0;
}
