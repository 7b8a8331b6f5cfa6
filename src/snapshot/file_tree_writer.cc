#include "snapshot/file_tree_writer.h"

#include <algorithm>

namespace pgstrata {

namespace {

// FNV-1a with a finish that spreads to the low bits: part of the format only in so far as equal trees share
// nodes.
std::uint64_t path_hash(std::string_view path) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  hash ^= hash >> 33;
  hash *= 0xFF51AFD7ED558CCDULL;
  return hash ^ (hash >> 33);
}

// Where nodes of one level are cut. Each level looks at bits of the hash of its own: below it, the paths that
// a level sees are those whose lower bits are clear. At least two to a node, so every level is shorter than
// the one below.
struct Cut {
  int shift;
  std::uint64_t mask;
  std::size_t limit;
};
constexpr Cut leaf_cut{0, 127, 512};
constexpr Cut inner_cut(int level) {
  return {7 + 6 * (level % 9), 63, 256};
}

// Calls `use` with each run of items that makes one node.
template <class Item, class Path, class Use>
Result<void> cut_into_nodes(std::span<const Item> items, Path path, const Cut& cut, const Use& use) {
  std::size_t from = 0;
  for (std::size_t at = 1; at <= items.size(); ++at) {
    const bool full = at - from == cut.limit;
    const bool here = at == items.size() || full ||
                      (at - from >= 2 && ((path_hash(items[at].*path) >> cut.shift) & cut.mask) == 0);
    if (!here) continue;
    PGS_CHECK(use(items.subspan(from, at - from)));
    from = at;
  }
  return {};
}

}  // namespace

FileTreeWriter::FileTreeWriter(ChunkStore& store) : chunks_(store, PackKind::map) {}

Result<NodeRef> FileTreeWriter::put_node(ByteView node) {
  NodeRef ref{chunks_.tag_of(node), {}};
  PGS_TRY(ref.chunk, chunks_.put(node, ref.tag));
  return ref;
}

Result<NodeRef> FileTreeWriter::put_page_map_leaf(std::span<const ExtentRef> extents) {
  return put_node(encode_page_map_leaf(extents));
}

void FileTreeWriter::add(FileEntry entry) {
  entries_.push_back(std::move(entry));
}

Result<std::vector<FileTreeChild>> FileTreeWriter::write_leaves() {
  std::vector<FileTreeChild> nodes;
  PGS_CHECK(cut_into_nodes(std::span<const FileEntry>(entries_), &FileEntry::path, leaf_cut,
                           [&](std::span<const FileEntry> run) -> Result<void> {
                             PGS_TRY(const auto ref, put_node(encode_file_tree_leaf(run)));
                             nodes.push_back({run.front().path, ref});
                             return {};
                           }));
  return nodes;
}

Result<std::vector<FileTreeChild>> FileTreeWriter::write_level(std::span<const FileTreeChild> children,
                                                               int level) {
  std::vector<FileTreeChild> nodes;
  PGS_CHECK(cut_into_nodes(children, &FileTreeChild::first_path, inner_cut(level),
                           [&](std::span<const FileTreeChild> run) -> Result<void> {
                             PGS_TRY(const auto ref, put_node(encode_file_tree_inner(run)));
                             nodes.push_back({run.front().first_path, ref});
                             return {};
                           }));
  return nodes;
}

Result<ChunkRef> FileTreeWriter::finish() {
  std::ranges::sort(entries_, {}, &FileEntry::path);
  if (const auto twice = std::ranges::adjacent_find(entries_, {}, &FileEntry::path);
      twice != entries_.end()) {
    return fail(ErrorCode::failed, "\"{}\" came twice", twice->path);
  }
  if (entries_.empty()) {
    PGS_TRY(const auto root, put_node(encode_file_tree_leaf({})));
    PGS_CHECK(chunks_.finish());
    return root.chunk;
  }
  PGS_TRY(auto nodes, write_leaves());
  for (int level = 0; nodes.size() > 1; ++level) {
    PGS_TRY(auto above, write_level(nodes, level));
    nodes = std::move(above);
  }
  PGS_CHECK(chunks_.finish());
  return nodes.front().node.chunk;
}

}  // namespace pgstrata
