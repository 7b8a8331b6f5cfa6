// Walks a snapshot's file tree and cuts it into batches for the workers. Internal to the room.
#pragma once

#include <functional>

#include "restore/extent_restorer.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata {

inline constexpr std::string_view control_file_path = "global/pg_control";
inline constexpr std::uint64_t batch_target_bytes = 16U << 20;
// A worker has all files of a batch open; with 16 workers this stays below the usual limit of 1024
// descriptors.
inline constexpr std::size_t batch_files_max = 48;

class BatchProducer {
 public:
  using Use = std::function<Result<void>(RestoreBatch)>;

  BatchProducer(FileTreeReader& tree, const RestoreLayout& layout, Use use)
      : tree_(tree), layout_(layout), use_(std::move(use)) {}

  // Makes folders as it meets them and hands out everything but pg_control.
  Result<void> run();
  // pg_control alone; nothing was found when the snapshot has none. After run.
  [[nodiscard]] const std::optional<FileEntry>& control_file() const { return control_file_; }
  [[nodiscard]] std::uint64_t files() const { return files_; }

  // Adds all extents of one file to the batch under way.
  Result<void> add_file(const FileEntry& entry);
  Result<void> flush();

 private:
  Result<void> make_folder(const FileEntry& entry);
  Result<std::size_t> begin_file(const FileEntry& entry);

  FileTreeReader& tree_;
  const RestoreLayout& layout_;
  Use use_;
  RestoreBatch batch_;
  std::optional<FileEntry> control_file_;
  std::uint64_t files_ = 0;
};

}  // namespace pgstrata
