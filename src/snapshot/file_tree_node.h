// The stored form of a file tree: sorted entries in leaves, first paths in inner nodes. Pure encoding and
// decoding. Format: docs/formats/file-tree.md.
#pragma once

#include <string>
#include <vector>

#include "snapshot/page_map.h"

namespace pgstrata {

enum class EntryKind : std::uint8_t { regular = 1, directory = 2 };

// A file or directory of a data directory. Paths are relative, "/" between parts; a tablespace's files appear
// below pg_tblspc/OID, and its link is not an entry: the snapshot's record lists the tablespaces.
struct FileEntry {
  std::string path;
  EntryKind kind = EntryKind::regular;
  std::uint32_t mode = 0;  // permission bits
  std::uint64_t size_bytes = 0;
  PageMap map;
};

struct FileTreeChild {
  std::string first_path;
  NodeRef node;
};

// Exactly one of the two is filled.
struct FileTreeNode {
  std::vector<FileEntry> entries;
  std::vector<FileTreeChild> children;
};

// Whether a tree may hold the path: relative, without parts that are empty, "." or "..", at most 4096 bytes.
// A tree with another is written, but cannot be read.
[[nodiscard]] bool safe_path(std::string_view path);

[[nodiscard]] Bytes encode_file_tree_leaf(std::span<const FileEntry> entries);
[[nodiscard]] Bytes encode_file_tree_inner(std::span<const FileTreeChild> children);
// Errors: damaged (also: paths out of order, absolute, or leaving the directory), newer_format.
[[nodiscard]] Result<FileTreeNode> decode_file_tree_node(ByteView node);

}  // namespace pgstrata
