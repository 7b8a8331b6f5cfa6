#include "branch/snapshot_files.h"

#include <algorithm>

#include "branch/content_cache.h"
#include "branch/read_ahead.h"
#include "snapshot/extent_reader.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata {
namespace {

constexpr std::size_t cached_leaves = 64;

// Readers keep keys and buffers: one for each thread at work, lent out.
class Readers {
 public:
  explicit Readers(const ClusterSpace& space) : space_(space) {}

  // Into memory of the extent's size.
  Result<Bytes> read(const ExtentRef& extent, Bytes content) {
    auto reader = take();
    const auto done = reader->read(extent, static_cast<std::uint32_t>(content.size()), content);
    give_back(std::move(reader));
    if (!done) return std::unexpected(done.error());
    return content;
  }

 private:
  std::unique_ptr<ExtentReader> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<ExtentReader>(space_);
    auto reader = std::move(idle_.back());
    idle_.pop_back();
    return reader;
  }
  void give_back(std::unique_ptr<ExtentReader> reader) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(reader));
  }

  ClusterSpace space_;
  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<ExtentReader>> idle_;
};

class SnapshotFiles;

class SnapshotFile final : public BaseFile {
 public:
  SnapshotFile(SnapshotFiles& files, FileEntry entry) : files_(files), entry_(std::move(entry)) {}
  Result<void> read(std::uint64_t offset, MutableByteView into) override;

  [[nodiscard]] const FileEntry& entry() const { return entry_; }

 private:
  SnapshotFiles& files_;
  const FileEntry entry_;
  std::atomic<std::uint64_t> read_to_ = 0;  // where the last read ended: one that goes on there is a scan
};

class SnapshotFiles final : public BaseFiles {
 public:
  SnapshotFiles(const ClusterSpace& space, const SnapshotRecord& snapshot,
                const SnapshotFilesOptions& options)
      : tree_(space, snapshot.tree),
        readers_(space),
        cache_(options.shared != nullptr ? options.cache_bytes / 16 : options.cache_bytes),
        options_(options) {}

  Result<std::optional<BaseEntry>> find(std::string_view path) override {
    if (path.empty()) return BaseEntry{.directory = true, .mode = 0700, .size_bytes = 0};
    const std::lock_guard lock(tree_mutex_);
    PGS_TRY(const auto entry, tree_.find(path));
    if (!entry) return std::nullopt;
    return BaseEntry{entry->kind == EntryKind::directory, entry->mode, entry->size_bytes};
  }

  Result<std::vector<Named>> list(std::string_view folder) override {
    const std::lock_guard lock(tree_mutex_);
    std::vector<Named> names;
    const auto skip = folder.empty() ? 0 : folder.size() + 1;
    PGS_CHECK(tree_.for_each_in(folder, [&](const FileEntry& entry) -> Result<void> {
      names.push_back({entry.path.substr(skip), entry.kind == EntryKind::directory});
      return {};
    }));
    return names;
  }

  Result<std::unique_ptr<BaseFile>> open(std::string_view path) override {
    const std::lock_guard lock(tree_mutex_);
    PGS_TRY(auto entry, tree_.find(path));
    if (!entry || entry->kind != EntryKind::regular)
      return fail(ErrorCode::not_found, "the snapshot has no file {}", path);
    return std::make_unique<SnapshotFile>(*this, *std::move(entry));
  }

  // Of an extent, from `within` on.
  Result<void> read_extent(const FileEntry& file, std::uint64_t number, std::size_t within,
                           MutableByteView into) {
    PGS_TRY(const auto ref, ref_of(file, number));
    const auto size = extent_size(file.size_bytes, number);
    PGS_ASSERT(within + into.size() <= size);
    if (!ref.chunk) {
      std::ranges::fill(into, std::byte{});
      return {};
    }
    if (options_.shared != nullptr && options_.shared->read(ref.tag, within, into)) return {};
    const auto content = load(ref, size);
    if (!content) return std::unexpected(Error(content.error()).with_context("read " + file.path));
    std::ranges::copy(ByteView(**content).subspan(within, into.size()), into.begin());
    return {};
  }

  void read_ahead(const FileEntry& file, std::uint64_t first) {
    const auto end = std::min(first + options_.read_ahead_extents, extent_count(file.size_bytes));
    for (auto number = first; number < end; ++number) {
      const auto ref = ref_of(file, number);
      if (!ref || !ref->chunk || is_cached(ref->tag)) continue;
      // What goes wrong here is told to whoever reads it.
      ahead_.add([this, ref = *ref, size = extent_size(file.size_bytes, number)] {
        if (!is_cached(ref.tag)) static_cast<void>(load(ref, size));
      });
    }
  }

 private:
  using Leaf = std::shared_ptr<const std::vector<ExtentRef>>;  // shared: used while it is evicted

  // Into both caches.
  Result<ContentCache::Content> load(const ExtentRef& ref, std::uint32_t size) {
    return cache_.get(ref.tag, [&]() -> Result<Bytes> {
      PGS_TRY(auto content, readers_.read(ref, cache_.memory(size)));
      if (options_.shared != nullptr) options_.shared->put(ref.tag, content);
      return content;
    });
  }

  [[nodiscard]] bool is_cached(const ContentTag& tag) const {
    return cache_.has(tag) || (options_.shared != nullptr && options_.shared->has(tag));
  }

  Result<ExtentRef> ref_of(const FileEntry& file, std::uint64_t number) {
    if (file.map.leaves.empty()) {
      if (number >= file.map.extents.size())
        return fail(ErrorCode::damaged, "page map of {} is too short", file.path);
      return file.map.extents[static_cast<std::size_t>(number)];
    }
    const auto leaf_number = number / page_map_leaf_extents;
    if (leaf_number >= file.map.leaves.size())
      return fail(ErrorCode::damaged, "page map of {} is too short", file.path);
    PGS_TRY(const auto leaf, leaf_of(file, leaf_number));
    const auto within = static_cast<std::size_t>(number % page_map_leaf_extents);
    if (within >= leaf->size()) return fail(ErrorCode::damaged, "page map of {} is too short", file.path);
    return (*leaf)[within];
  }

  Result<Leaf> leaf_of(const FileEntry& file, std::uint64_t number) {
    const auto& ref = file.map.leaves[static_cast<std::size_t>(number)].chunk;
    const std::lock_guard lock(leaves_mutex_);
    const auto hit = std::ranges::find(leaves_, ref, &std::pair<ChunkRef, Leaf>::first);
    if (hit != leaves_.end()) {
      leaves_.splice(leaves_.begin(), leaves_, hit);
      return leaves_.front().second;
    }
    const auto first = number * page_map_leaf_extents;
    const auto count = std::min<std::uint64_t>(page_map_leaf_extents, extent_count(file.size_bytes) - first);
    const std::lock_guard tree_lock(tree_mutex_);
    PGS_TRY(auto extents, tree_.extents(file, first, count));
    leaves_.emplace_front(ref, std::make_shared<const std::vector<ExtentRef>>(std::move(extents)));
    if (leaves_.size() > cached_leaves) leaves_.pop_back();
    return leaves_.front().second;
  }

  std::mutex tree_mutex_;  // guards tree_; taken after leaves_mutex_
  FileTreeReader tree_;
  std::mutex leaves_mutex_;                      // guards what follows
  std::list<std::pair<ChunkRef, Leaf>> leaves_;  // newest first
  Readers readers_;
  ContentCache cache_;
  const SnapshotFilesOptions options_;
  ReadAhead ahead_;  // the last member: its thread uses all the others
};

Result<void> SnapshotFile::read(std::uint64_t offset, MutableByteView into) {
  const auto end = offset + into.size();
  if (end > entry_.size_bytes)
    return fail(ErrorCode::damaged, "{} has {} bytes in the snapshot, and is read up to byte {}", entry_.path,
                entry_.size_bytes, end);
  const bool scan = read_to_.exchange(end) == offset && offset != 0;
  while (!into.empty()) {
    const auto number = offset / extent_bytes;
    const auto within = static_cast<std::size_t>(offset % extent_bytes);
    const auto size = std::min(into.size(), extent_bytes - within);
    if (scan) files_.read_ahead(entry_, number + 1);
    PGS_CHECK(files_.read_extent(entry_, number, within, into.first(size)));
    into = into.subspan(size);
    offset += size;
  }
  return {};
}

}  // namespace

std::unique_ptr<BaseFiles> open_snapshot_files(const ClusterSpace& space, const SnapshotRecord& snapshot,
                                               const SnapshotFilesOptions& options) {
  return std::make_unique<SnapshotFiles>(space, snapshot, options);
}

}  // namespace pgstrata
