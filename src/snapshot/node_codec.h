// What page map leaves and file tree nodes share: a header, a table of the packs referred to, and references
// that index it. Internal to this room.
#pragma once

#include <map>

#include "codec/endian.h"
#include "snapshot/page_map.h"

namespace pgstrata {

// Nodes with a difference are of version 2. All others stay of version 1, so that they are found again as
// earlier snapshots stored them.
enum class NodeVersion : std::uint8_t { whole_extents = 1, differences = 2 };
[[nodiscard]] NodeVersion version_for(std::span<const ExtentRef> extents);

enum class NodeKind : std::uint8_t { page_map_leaf = 1, file_tree_leaf = 2, file_tree_inner = 3 };

class NodeEncoder {
 public:
  // An extent with a difference asks for NodeVersion::differences.
  explicit NodeEncoder(NodeVersion version) : version_(version) {}

  void chunk(const ChunkRef& ref);
  void node(const NodeRef& ref);
  void extent(const ExtentRef& ref);
  ByteWriter& body() { return body_; }

  // Header, pack table, body.
  [[nodiscard]] Bytes finish(NodeKind kind);

 private:
  std::uint64_t pack_index(const PackId& pack);

  NodeVersion version_;
  std::map<PackId, std::uint64_t> packs_;
  std::vector<PackId> pack_order_;
  ByteWriter body_;
};

class NodeDecoder {
 public:
  // Reads header and pack table. Errors: damaged, newer_format.
  static Result<NodeDecoder> open(ByteView node);

  [[nodiscard]] NodeKind kind() const { return kind_; }
  // What these return is meaningless once failed().
  ChunkRef chunk();
  NodeRef node();
  ExtentRef extent();
  ByteReader& body() { return body_; }

  [[nodiscard]] bool failed() const { return failed_ || body_.failed(); }
  // Error: damaged, unless all was read and nothing was missing.
  Result<void> finish() const;

 private:
  explicit NodeDecoder(ByteReader body) : body_(body) {}
  ChunkRef chunk_in(std::uint64_t pack_index);

  NodeVersion version_{};
  NodeKind kind_{};
  std::vector<PackId> packs_;
  ByteReader body_;
  bool failed_ = false;
};

}  // namespace pgstrata
