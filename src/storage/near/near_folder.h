// The folder that blocks are kept in, bounded, by any number of processes at once. Internal to the room.
//
//   FOLDER/5e/5e…      a block, named after its key (32 hexadecimal digits)
//   FOLDER/5e/new.…    one that is being written
//
// There are 256 folders within it, by the key's first byte, each with its share of the limit. Whoever adds a
// block looks at that one folder and removes the blocks beyond its share that were not used for longest, by
// their times of modification, which each use sets. Nothing else is shared, and nobody waits for anybody: a
// block gets its name whole, and one that is removed while it is read is read to its end.
//
// Nothing is synced: what a crash leaves is told by its checksums. Thread-safe.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>

#include "storage/near/near_block.h"
#include "sys/files.h"

namespace pgstrata {

struct NearFolderBounds {
  std::uint64_t limit_bytes =
      0;  // of what the blocks' files hold; at least a block for each of the 256 folders
  unsigned free_percent_min = 0;
};

class NearFolder {
 public:
  // Makes nothing. The clock is borrowed.
  NearFolder(std::filesystem::path path, const NearFolderBounds& bounds, const Clock& clock);

  // From `offset` in the block into `into`, as far as its content goes: how much. Nothing when it is not
  // here, or when what is here is not whole.
  [[nodiscard]] std::optional<std::size_t> read(const NearBlockKey& key, std::size_t offset,
                                                MutableByteView into) const;
  // In the place of whatever bears its name. Errors: no_space, also where too little of the disk would be
  // left to others; those of making folders and files, after which nothing is left of it.
  [[nodiscard]] Result<void> keep(const NearBlockKey& key, ByteView content);
  // Whether it was here.
  bool drop(const NearBlockKey& key) const;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  [[nodiscard]] std::filesystem::path folder_of(const NearBlockKey& key) const;
  [[nodiscard]] std::filesystem::path path_of(const NearBlockKey& key) const;
  [[nodiscard]] std::filesystem::path new_path(const std::filesystem::path& folder);
  // Of blocks beyond the share, without the one just added, and of what writers that died have left. What
  // cannot be removed stays: whoever adds next tries again.
  void trim(const std::filesystem::path& folder, const std::string& added) const;

  const std::filesystem::path path_;
  const std::size_t blocks_per_folder_;
  const unsigned free_percent_min_;
  const Clock& clock_;
  std::atomic<std::uint64_t> last_new_ = 0;
};

}  // namespace pgstrata
