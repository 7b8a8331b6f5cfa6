#include "snapshot/tree_mover.h"

#include <algorithm>

namespace pgstrata {

TreeMover::TreeMover(ChunkStore& store, const std::set<PackId>& leaving, const Cancellation& cancellation)
    : nodes_(store.space()),
      data_(store, PackKind::data),
      map_(store, PackKind::map),
      leaving_(leaving),
      cancellation_(cancellation) {}

Result<MovedTree> TreeMover::move(const ChunkRef& root) {
  PGS_TRY(const MovedNode moved, move_node({{}, root}, 0));
  MovedTree tree{moved.node.chunk, {}};
  for (const std::uint32_t number : *moved.packs) tree.packs.push_back(packs_by_number_[number]);
  std::ranges::sort(tree.packs);
  return tree;
}

std::uint32_t TreeMover::number_of(const PackId& pack) {
  const auto [known, is_new] =
      pack_numbers_.emplace(pack, static_cast<std::uint32_t>(packs_by_number_.size()));
  if (is_new) packs_by_number_.push_back(pack);
  return known->second;
}

Result<void> TreeMover::finish() {
  PGS_CHECK(data_.finish());
  return map_.finish();
}

Result<bool> TreeMover::move_chunk(ChunkRef& chunk, const ContentTag* tag, int compression_level) {
  if (!leaving_.contains(chunk.pack)) return false;
  const auto known = moved_chunks_.find(chunk);
  if (known != moved_chunks_.end()) {
    chunk = known->second;
    return true;
  }
  PGS_TRY(const auto content, nodes_.content(chunk));
  PGS_TRY(const ChunkRef moved,
          data_.put(content, tag != nullptr ? *tag : data_.tag_of(content), compression_level));
  moved_chunks_.emplace(chunk, moved);
  chunk = moved;
  return true;
}

Result<bool> TreeMover::move_extents(std::vector<ExtentRef>& extents, PackNumbers& packs) {
  bool any = false;
  for (auto& extent : extents) {
    // The tag is that of what the difference makes of the chunk.
    if (extent.chunk) {
      PGS_TRY(const bool moved, move_chunk(*extent.chunk, extent.difference ? nullptr : &extent.tag));
      any = any || moved;
      packs.insert(number_of(extent.chunk->pack));
    }
    if (extent.difference) {
      PGS_TRY(const bool moved, move_chunk(*extent.difference, nullptr, difference_compression_level));
      any = any || moved;
      packs.insert(number_of(extent.difference->pack));
    }
  }
  return any;
}

Result<TreeMover::MovedNode> TreeMover::settle(const NodeRef& node, bool changed,
                                               const std::function<Bytes()>& encode, PackNumbers packs) {
  MovedNode moved{node, nullptr};
  if (changed || leaving_.contains(node.chunk.pack)) {
    const Bytes content = encode();
    moved.node.tag = map_.tag_of(content);
    PGS_TRY(moved.node.chunk, map_.put(content, moved.node.tag));
  }
  packs.insert(number_of(moved.node.chunk.pack));
  moved.packs = std::make_shared<const std::vector<std::uint32_t>>(packs.begin(), packs.end());
  moved_nodes_.emplace(node.chunk, moved);
  return moved;
}

Result<TreeMover::MovedNode> TreeMover::move_leaf(const NodeRef& node) {
  if (const auto known = moved_nodes_.find(node.chunk); known != moved_nodes_.end()) return known->second;
  PGS_CHECK(cancellation_.check());
  PGS_TRY(auto extents, nodes_.leaf(node.chunk));
  PackNumbers packs;
  PGS_TRY(const bool changed, move_extents(extents, packs));
  return settle(
      node, changed, [&] { return encode_page_map_leaf(extents); }, std::move(packs));
}

Result<TreeMover::MovedNode> TreeMover::move_node(const NodeRef& node, int depth) {
  if (const auto known = moved_nodes_.find(node.chunk); known != moved_nodes_.end()) return known->second;
  if (depth > max_tree_depth) return fail(ErrorCode::damaged, "file tree is deeper than any can be");
  PGS_CHECK(cancellation_.check());
  PGS_TRY(auto content, nodes_.node(node.chunk));
  PackNumbers packs;
  bool changed = false;
  const auto take = [&](NodeRef& place, const MovedNode& moved) {
    changed = changed || place.chunk != moved.node.chunk;
    packs.insert(moved.packs->begin(), moved.packs->end());
    place = moved.node;
  };
  for (auto& entry : content.entries) {
    PGS_TRY(const bool moved, move_extents(entry.map.extents, packs));
    changed = changed || moved;
    for (auto& leaf : entry.map.leaves) {
      PGS_TRY(const MovedNode moved_leaf, move_leaf(leaf));
      take(leaf, moved_leaf);
    }
  }
  for (auto& child : content.children) {
    PGS_TRY(const MovedNode moved_child, move_node(child.node, depth + 1));
    take(child.node, moved_child);
  }
  const auto encode = [&] {
    return content.children.empty() ? encode_file_tree_leaf(content.entries)
                                    : encode_file_tree_inner(content.children);
  };
  return settle(node, changed, encode, std::move(packs));
}

}  // namespace pgstrata
