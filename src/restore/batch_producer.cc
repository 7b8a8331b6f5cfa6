#include "restore/batch_producer.h"

namespace pgstrata {

Result<void> BatchProducer::run() {
  PGS_CHECK(tree_.for_each([&](const FileEntry& entry) -> Result<void> {
    if (entry.kind == EntryKind::directory) return make_folder(entry);
    if (entry.path == control_file_path) {
      control_file_ = entry;
      return {};
    }
    ++files_;
    return add_file(entry);
  }));
  return flush();
}

Result<void> BatchProducer::make_folder(const FileEntry& entry) {
  const auto target = layout_.resolve(entry.path);
  if (target.relative.empty()) return {};  // a tablespace's own folder
  return target.directory->make_directory(target.relative, entry.mode);
}

Result<std::size_t> BatchProducer::begin_file(const FileEntry& entry) {
  if (batch_.files.size() == batch_files_max) PGS_CHECK(flush());
  batch_.files.push_back({entry.path, entry.size_bytes, entry.mode});
  return batch_.files.size() - 1;
}

Result<void> BatchProducer::add_file(const FileEntry& entry) {
  PGS_TRY(auto file, begin_file(entry));
  const std::uint64_t total = extent_count(entry.size_bytes);
  for (std::uint64_t first = 0; first < total;) {
    const auto in_leaf = page_map_leaf_extents - first % page_map_leaf_extents;
    const auto count = std::min<std::uint64_t>(in_leaf, total - first);
    PGS_TRY(auto extents, tree_.extents(entry, first, count));
    for (auto& ref : extents) {
      const auto size = extent_size(entry.size_bytes, first);
      if (batch_.size_bytes + size > batch_target_bytes) {
        PGS_CHECK(flush());
        PGS_TRY(file, begin_file(entry));
      }
      batch_.extents.push_back({file, first++, std::move(ref)});
      batch_.size_bytes += size;
    }
  }
  return {};
}

Result<void> BatchProducer::flush() {
  if (batch_.files.empty()) return {};
  return use_(std::exchange(batch_, {}));
}

}  // namespace pgstrata
