#include "snapshot/live_chunks.h"

namespace pgstrata {

Result<void> LiveChunks::add(const ChunkRef& root) {
  return visit(root, 0);
}

std::uint64_t LiveChunks::live_bytes(const PackId& pack) const {
  const auto known = packs_.find(pack);
  return known == packs_.end() ? 0 : known->second.live_bytes;
}

bool LiveChunks::note(const ChunkRef& ref) {
  Pack& pack = packs_[ref.pack];
  if (!pack.offsets.insert(ref.location.offset).second) return false;
  pack.live_bytes += ref.location.stored_size;
  return true;
}

void LiveChunks::note_extents(std::span<const ExtentRef> extents) {
  for (const auto& extent : extents) {
    if (extent.chunk) note(*extent.chunk);
    if (extent.difference) note(*extent.difference);
  }
}

Result<void> LiveChunks::visit_leaf(const ChunkRef& ref) {
  if (!note(ref)) return {};
  PGS_CHECK(cancellation_.check());
  PGS_TRY(const auto extents, nodes_.leaf(ref));
  note_extents(extents);
  return {};
}

Result<void> LiveChunks::visit(const ChunkRef& ref, int depth) {
  if (!note(ref)) return {};
  if (depth > max_tree_depth) return fail(ErrorCode::damaged, "file tree is deeper than any can be");
  PGS_CHECK(cancellation_.check());
  PGS_TRY(const auto node, nodes_.node(ref));
  for (const auto& entry : node.entries) {
    note_extents(entry.map.extents);
    for (const auto& leaf : entry.map.leaves) PGS_CHECK(visit_leaf(leaf.chunk));
  }
  for (const auto& child : node.children) PGS_CHECK(visit(child.node.chunk, depth + 1));
  return {};
}

}  // namespace pgstrata
