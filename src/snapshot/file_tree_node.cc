#include "snapshot/file_tree_node.h"

#include <algorithm>

#include "snapshot/node_codec.h"

namespace pgstrata {

namespace {

constexpr std::size_t max_path_bytes = 4096;

enum class MapForm : std::uint8_t { extents = 0, leaves = 1 };

std::size_t shared_prefix(std::string_view left, std::string_view right) {
  return static_cast<std::size_t>(std::ranges::mismatch(left, right).in1 - left.begin());
}

// A path is written as what it shares with the one before and what is new.
void write_path(ByteWriter& body, std::string_view previous, std::string_view path) {
  const auto shared = shared_prefix(previous, path);
  body.varint(shared);
  body.text(path.substr(shared));
}

Result<std::string> read_path(ByteReader& body, std::string_view previous) {
  const auto shared = body.varint();
  const auto rest = body.text();
  if (body.failed() || shared > previous.size())
    return fail(ErrorCode::damaged, "file tree node does not parse");
  std::string path(previous.substr(0, static_cast<std::size_t>(shared)));
  path += rest;
  if (!safe_path(path) || (!previous.empty() && path <= previous)) {
    return fail(ErrorCode::damaged, "file tree node with an impossible path");
  }
  return path;
}

void write_map(NodeEncoder& encoder, const PageMap& map) {
  if (map.leaves.empty()) {
    encoder.body().u8(static_cast<std::uint8_t>(MapForm::extents));
    for (const auto& extent : map.extents) encoder.extent(extent);
  } else {
    encoder.body().u8(static_cast<std::uint8_t>(MapForm::leaves));
    for (const auto& leaf : map.leaves) encoder.node(leaf);
  }
}

Result<PageMap> read_map(NodeDecoder& decoder, std::uint64_t size_bytes) {
  PageMap map;
  const auto form = decoder.body().u8();
  const auto extents = extent_count(size_bytes);
  if (form == static_cast<std::uint8_t>(MapForm::extents)) {
    if (extents > PageMap::max_inline_extents)
      return fail(ErrorCode::damaged, "file with an impossible page map");
    for (std::uint64_t i = 0; i < extents; ++i) map.extents.push_back(decoder.extent());
    return map;
  }
  const auto leaves = (extents + page_map_leaf_extents - 1) / page_map_leaf_extents;
  if (form != static_cast<std::uint8_t>(MapForm::leaves) || leaves > decoder.body().remaining()) {
    return fail(ErrorCode::damaged, "file with an impossible page map");
  }
  for (std::uint64_t i = 0; i < leaves && !decoder.failed(); ++i) map.leaves.push_back(decoder.node());
  return map;
}

Result<FileEntry> read_entry(NodeDecoder& decoder, std::string_view previous) {
  FileEntry entry;
  PGS_TRY(entry.path, read_path(decoder.body(), previous));
  const auto kind = decoder.body().u8();
  entry.mode = static_cast<std::uint32_t>(decoder.body().varint()) & 07777U;
  if (kind == static_cast<std::uint8_t>(EntryKind::directory)) {
    entry.kind = EntryKind::directory;
    return entry;
  }
  if (kind != static_cast<std::uint8_t>(EntryKind::regular)) {
    return fail(ErrorCode::damaged, "\"{}\" is of no known kind", entry.path);
  }
  entry.size_bytes = decoder.body().varint();
  PGS_TRY(entry.map, read_map(decoder, entry.size_bytes));
  return entry;
}

}  // namespace

bool safe_path(std::string_view path) {
  if (path.empty() || path.size() > max_path_bytes || path.find('\0') != std::string_view::npos) return false;
  for (std::size_t from = 0; from <= path.size();) {
    const auto end = std::min(path.find('/', from), path.size());
    const auto part = path.substr(from, end - from);
    if (part.empty() || part == "." || part == "..") return false;
    from = end + 1;
  }
  return true;
}

Bytes encode_file_tree_leaf(std::span<const FileEntry> entries) {
  const bool differences = std::ranges::any_of(
      entries, [](const auto& entry) { return version_for(entry.map.extents) == NodeVersion::differences; });
  NodeEncoder encoder(differences ? NodeVersion::differences : NodeVersion::whole_extents);
  encoder.body().varint(entries.size());
  std::string_view previous;
  for (const auto& entry : entries) {
    write_path(encoder.body(), previous, entry.path);
    previous = entry.path;
    encoder.body().u8(static_cast<std::uint8_t>(entry.kind));
    encoder.body().varint(entry.mode);
    if (entry.kind == EntryKind::directory) continue;
    encoder.body().varint(entry.size_bytes);
    write_map(encoder, entry.map);
  }
  return encoder.finish(NodeKind::file_tree_leaf);
}

Bytes encode_file_tree_inner(std::span<const FileTreeChild> children) {
  NodeEncoder encoder(NodeVersion::whole_extents);
  encoder.body().varint(children.size());
  std::string_view previous;
  for (const auto& child : children) {
    write_path(encoder.body(), previous, child.first_path);
    previous = child.first_path;
    encoder.node(child.node);
  }
  return encoder.finish(NodeKind::file_tree_inner);
}

Result<FileTreeNode> decode_file_tree_node(ByteView node) {
  PGS_TRY(auto decoder, NodeDecoder::open(node));
  const auto count = decoder.body().varint();
  FileTreeNode decoded;
  if (decoder.kind() == NodeKind::page_map_leaf || count > decoder.body().remaining()) {
    return fail(ErrorCode::damaged, "not a file tree node");
  }
  std::string previous;
  for (std::uint64_t i = 0; i < count && !decoder.failed(); ++i) {
    if (decoder.kind() == NodeKind::file_tree_leaf) {
      PGS_TRY(auto entry, read_entry(decoder, previous));
      previous = entry.path;
      decoded.entries.push_back(std::move(entry));
    } else {
      PGS_TRY(previous, read_path(decoder.body(), previous));
      decoded.children.push_back({previous, decoder.node()});
    }
  }
  PGS_CHECK(decoder.finish());
  if (decoder.kind() == NodeKind::file_tree_inner && decoded.children.empty()) {
    return fail(ErrorCode::damaged, "file tree node without children");
  }
  return decoded;
}

}  // namespace pgstrata
