#include "snapshot/file_tree_reader.h"

#include <algorithm>
#include <list>

namespace pgstrata {

namespace {
constexpr std::size_t cached_nodes = 64;
constexpr int max_depth = 16;  // of a tree: far beyond what any number of files needs
}  // namespace

struct FileTreeReader::State {
  ChunkReader chunks;
  ChunkRef root;
  Buffer scratch{max_chunk_content_bytes};
  // The nodes last used, newest first: the path from the root, and neighbours.
  std::list<std::pair<ChunkRef, std::shared_ptr<const FileTreeNode>>>
      cache;  // shared: a caller holds it while we evict

  State(const ClusterSpace& space, const ChunkRef& root_ref) : chunks(space), root(root_ref) {}

  Result<ByteView> read(const ChunkRef& ref) {
    PGS_TRY(const auto size, chunks.read(ref, scratch.whole()));
    return ByteView(scratch.data(), size);
  }

  Result<std::shared_ptr<const FileTreeNode>> node(const ChunkRef& ref) {
    const auto hit = std::ranges::find(cache, ref, &decltype(cache)::value_type::first);
    if (hit != cache.end()) {
      cache.splice(cache.begin(), cache, hit);
      return hit->second;
    }
    PGS_TRY(const auto bytes, read(ref));
    PGS_TRY(auto decoded, decode_file_tree_node(bytes).context("file tree in pack " + to_string(ref.pack)));
    cache.emplace_front(ref, std::make_shared<const FileTreeNode>(std::move(decoded)));
    if (cache.size() > cached_nodes) cache.pop_back();
    return cache.front().second;
  }

  Result<void> visit(const ChunkRef& ref, int depth,
                     const std::function<Result<void>(const FileEntry&)>& use) {
    if (depth > max_depth) return fail(ErrorCode::damaged, "file tree is deeper than any can be");
    PGS_TRY(const auto current, node(ref));
    for (const auto& entry : current->entries) PGS_CHECK(use(entry));
    for (const auto& child : current->children) PGS_CHECK(visit(child.node.chunk, depth + 1, use));
    return {};
  }

  // The first entry at or after `path`, where there is one.
  Result<std::optional<FileEntry>> first_from(const ChunkRef& ref, int depth, std::string_view path) {
    if (depth > max_depth) return fail(ErrorCode::damaged, "file tree is deeper than any can be");
    PGS_TRY(const auto current, node(ref));
    if (current->children.empty()) {
      const auto entry = std::ranges::lower_bound(current->entries, path, {}, &FileEntry::path);
      return entry == current->entries.end() ? std::nullopt : std::optional(*entry);
    }
    auto child = std::ranges::upper_bound(current->children, path, {}, &FileTreeChild::first_path);
    if (child != current->children.begin()) --child;
    for (; child != current->children.end(); ++child) {
      PGS_TRY(auto found, first_from(child->node.chunk, depth + 1, path));
      if (found) return found;
    }
    return std::nullopt;
  }

  Result<void> visit_nodes(const ChunkRef& ref, int depth,
                           const std::function<Result<void>(const NodeRef&)>& use) {
    if (depth > max_depth) return fail(ErrorCode::damaged, "file tree is deeper than any can be");
    PGS_TRY(const auto current, node(ref));
    for (const auto& entry : current->entries) {
      for (const auto& leaf : entry.map.leaves) PGS_CHECK(use(leaf));
    }
    for (const auto& child : current->children) {
      PGS_CHECK(use(child.node));
      PGS_CHECK(visit_nodes(child.node.chunk, depth + 1, use));
    }
    return {};
  }
};

FileTreeReader::FileTreeReader(const ClusterSpace& space, const ChunkRef& root)
    : state_(std::make_unique<State>(space, root)) {}
FileTreeReader::~FileTreeReader() = default;
FileTreeReader::FileTreeReader(FileTreeReader&&) noexcept = default;
FileTreeReader& FileTreeReader::operator=(FileTreeReader&&) noexcept = default;

Result<void> FileTreeReader::for_each(const std::function<Result<void>(const FileEntry&)>& use) {
  return state_->visit(state_->root, 0, use);
}

Result<std::optional<FileEntry>> FileTreeReader::find(std::string_view path) {
  ChunkRef at = state_->root;
  for (int depth = 0; depth <= max_depth; ++depth) {
    PGS_TRY(const auto current, state_->node(at));
    if (current->children.empty()) {
      const auto entry = std::ranges::lower_bound(current->entries, path, {}, &FileEntry::path);
      if (entry == current->entries.end() || entry->path != path) return std::nullopt;
      return *entry;
    }
    const auto after = std::ranges::upper_bound(current->children, path, {}, &FileTreeChild::first_path);
    if (after == current->children.begin()) return std::nullopt;
    at = std::prev(after)->node.chunk;
  }
  return fail(ErrorCode::damaged, "file tree is deeper than any can be");
}

Result<void> FileTreeReader::for_each_in(std::string_view folder,
                                         const std::function<Result<void>(const FileEntry&)>& use) {
  const std::string prefix = folder.empty() ? "" : std::string(folder) + "/";
  std::string from = prefix;
  while (true) {
    PGS_TRY(const auto entry, state_->first_from(state_->root, 0, from));
    if (!entry || !entry->path.starts_with(prefix)) return {};
    const auto below = entry->path.find('/', prefix.size());
    if (below == std::string::npos) {
      PGS_CHECK(use(*entry));
      from = entry->path + '\0';
    } else {
      // Past all that is in that folder: '0' comes after '/'.
      from = entry->path.substr(0, below) + '0';
    }
  }
}

Result<std::vector<ExtentRef>> FileTreeReader::extents(const FileEntry& file, std::uint64_t first,
                                                       std::uint64_t count) {
  const auto leaf_index = first / page_map_leaf_extents;
  const auto in_leaf = file.map.leaves.empty() ? first : first % page_map_leaf_extents;
  std::vector<ExtentRef> leaf;
  if (file.map.leaves.empty()) {
    leaf = file.map.extents;
  } else {
    if (leaf_index >= file.map.leaves.size())
      return fail(ErrorCode::damaged, "page map of {} is too short", file.path);
    const auto& ref = file.map.leaves[static_cast<std::size_t>(leaf_index)];
    PGS_TRY(const auto bytes, state_->read(ref.chunk));
    PGS_TRY(leaf, decode_page_map_leaf(bytes).context("page map of " + file.path));
  }
  if (in_leaf + count > leaf.size())
    return fail(ErrorCode::damaged, "page map of {} is too short", file.path);
  const auto from = leaf.begin() + static_cast<std::ptrdiff_t>(in_leaf);
  return std::vector<ExtentRef>(from, from + static_cast<std::ptrdiff_t>(count));
}

namespace {

void note_packs(std::span<const ExtentRef> extents, std::set<PackId>& packs) {
  for (const auto& extent : extents) {
    if (extent.chunk) packs.insert(extent.chunk->pack);
    if (extent.difference) packs.insert(extent.difference->pack);
  }
}

}  // namespace

Result<std::set<PackId>> FileTreeReader::packs() {
  std::set<PackId> packs{state_->root.pack};
  PGS_CHECK(for_each_node([&](const NodeRef& node) -> Result<void> {
    packs.insert(node.chunk.pack);
    return {};
  }));
  PGS_CHECK(for_each([&](const FileEntry& file) -> Result<void> {
    note_packs(file.map.extents, packs);
    for (const auto& leaf : file.map.leaves) {
      PGS_TRY(const auto bytes, state_->read(leaf.chunk));
      PGS_TRY(const auto extents, decode_page_map_leaf(bytes).context("page map of " + file.path));
      note_packs(extents, packs);
    }
    return {};
  }));
  return packs;
}

Result<void> FileTreeReader::for_each_node(const std::function<Result<void>(const NodeRef&)>& use) {
  PGS_CHECK(use(NodeRef{{}, state_->root}));
  return state_->visit_nodes(state_->root, 0, use);
}

}  // namespace pgstrata
