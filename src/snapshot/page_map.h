// Page maps: where each extent of a file is. A map is cut into leaves of page_map_leaf_extents extents; a
// leaf is a chunk of its own, found again by its tag, so a snapshot shares every leaf that did not change
// with the one before. Format: docs/formats/file-tree.md.
#pragma once

#include <optional>
#include <vector>

#include "catalog/snapshot_record.h"

namespace pgstrata {

inline constexpr std::uint32_t page_map_leaf_extents = 1024;

// One extent: a chunk with its content's tag, or nothing but zeros. The last extent of a file is as long as
// what is left of the file. With a difference the chunk holds what the extent was when it was last stored
// whole, be it shorter or longer: extent_difference.h.
struct ExtentRef {
  ContentTag tag{};                         // of the content, difference applied
  std::optional<ChunkRef> chunk = {};       // absent: zeros
  std::optional<ChunkRef> difference = {};  // only with a chunk
  bool operator==(const ExtentRef&) const = default;
};

// A node of a file tree or page map, as its parent refers to it.
struct NodeRef {
  ContentTag tag{};
  ChunkRef chunk;
};

// Of a regular file. Small files keep their extents here; others have leaves of page_map_leaf_extents each.
struct PageMap {
  static constexpr std::size_t max_inline_extents = 8;
  std::vector<ExtentRef> extents;  // when at most max_inline_extents
  std::vector<NodeRef> leaves;     // otherwise
};

[[nodiscard]] constexpr std::uint64_t extent_count(std::uint64_t file_bytes) {
  return (file_bytes + extent_bytes - 1) / extent_bytes;
}
[[nodiscard]] constexpr std::uint32_t extent_size(std::uint64_t file_bytes, std::uint64_t extent) {
  const std::uint64_t from = extent * extent_bytes;
  return static_cast<std::uint32_t>(file_bytes - from < extent_bytes ? file_bytes - from : extent_bytes);
}

[[nodiscard]] Bytes encode_page_map_leaf(std::span<const ExtentRef> extents);
// Error: damaged.
[[nodiscard]] Result<std::vector<ExtentRef>> decode_page_map_leaf(ByteView node);

}  // namespace pgstrata
