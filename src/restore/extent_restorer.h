// Writes extents of files: compares where something is there, reads the rest from the repository pack by
// pack, in order of offset: first what was stored whole, then the differences that are to be applied to that.
// Internal to the room. Belongs to one thread.
#pragma once

#include <vector>

#include "codec/aead.h"
#include "restore/restore_layout.h"
#include "snapshot/file_tree_node.h"

namespace pgstrata {

// Some extents of some files: at most a few tens of files and of MiB.
struct RestoreBatch {
  struct File {
    std::string path;
    std::uint64_t size_bytes = 0;
    std::uint32_t mode = 0;
  };
  struct Extent {
    std::size_t file = 0;  // index in files
    std::uint64_t number = 0;
    ExtentRef ref;
  };
  std::vector<File> files;
  std::vector<Extent> extents;
  std::uint64_t size_bytes = 0;  // of the extents
};

struct ExtentCounts {
  std::uint64_t written_bytes = 0;
  std::uint64_t reused_bytes = 0;
  std::uint64_t zero_bytes = 0;
};

class ExtentRestorer {
 public:
  ExtentRestorer(const ClusterSpace& space, const RestoreLayout& layout);

  // Errors: damaged, not_found, no_space, failed: all name the file.
  Result<ExtentCounts> restore(const RestoreBatch& batch);

 private:
  struct OpenFile {
    FileDescriptor file;
    std::uint64_t present_bytes = 0;  // what may be compared with
  };
  Result<void> open_files(const RestoreBatch& batch);
  Result<bool> in_place(const RestoreBatch& batch, const RestoreBatch::Extent& extent);
  Result<void> write_zeros(const RestoreBatch& batch, const RestoreBatch::Extent& extent);
  using Extents = std::span<const RestoreBatch::Extent*>;
  Result<void> write_from_packs(const RestoreBatch& batch, Extents extents);
  Result<void> write_whole(const RestoreBatch& batch, const RestoreBatch::Extent& extent, ByteView whole);
  Result<void> apply_difference(const RestoreBatch& batch, const RestoreBatch::Extent& extent,
                                ByteView difference);

  const RestoreLayout& layout_;
  ChunkReader chunks_;
  ContentTagger tagger_;
  Buffer present_{extent_bytes};
  std::vector<OpenFile> open_;
};

}  // namespace pgstrata
