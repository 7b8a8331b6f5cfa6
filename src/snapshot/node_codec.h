// What page map leaves and file tree nodes share: a header, a table of the packs referred to, and references
// that index it. Internal to this room.
#pragma once

#include <map>

#include "codec/endian.h"
#include "snapshot/page_map.h"

namespace pgstrata {

enum class NodeKind : std::uint8_t { page_map_leaf = 1, file_tree_leaf = 2, file_tree_inner = 3 };

class NodeEncoder {
 public:
  void chunk(const ChunkRef& ref);
  void node(const NodeRef& ref);
  void extent(const ExtentRef& ref);
  ByteWriter& body() { return body_; }

  // Header, pack table, body.
  [[nodiscard]] Bytes finish(NodeKind kind);

 private:
  std::uint64_t pack_index(const PackId& pack);

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

  NodeKind kind_{};
  std::vector<PackId> packs_;
  ByteReader body_;
  bool failed_ = false;
};

}  // namespace pgstrata
