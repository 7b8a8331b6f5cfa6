#include "roll/overlay_store.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "branch/branch_files.h"
#include "pg/format/text_parsing.h"
#include "snapshot/extent_reader.h"
#include "snapshot/file_tree_reader.h"
#include "snapshot/file_tree_writer.h"

namespace pgstrata {
namespace {

// Extents that are worked on at a time: some 500 KiB of references.
constexpr std::size_t batch_extents = 4096;

// A file that the overlay changed.
struct ChangedFile {
  FileEntry entry;  // as it will be; its map is filled in
  NodeId node = 0;
  std::optional<FileEntry> base;  // where the old snapshot has it
  Overlay::Changes changes;

  // Whether the old snapshot has that extent, as long, and the overlay no more than single blocks of it.
  [[nodiscard]] bool has_old_extent(std::uint64_t number) const {
    const auto size = extent_size(entry.size_bytes, number);
    return base && number * extent_bytes + size <= changes.base_limit_bytes &&
           size == extent_size(base->size_bytes, number);
  }
  [[nodiscard]] bool is_block_changed(std::uint64_t block) const {
    return block < changes.blocks.size() && changes.blocks[static_cast<std::size_t>(block)];
  }
};

// Part of one file's map: what becomes a leaf, or all of a small file.
struct Stretch {
  ChangedFile* file = nullptr;
  std::uint64_t first = 0;
  std::vector<ExtentRef> extents;
  std::vector<std::size_t> changed;  // which of them are to be stored
  std::optional<NodeRef> unchanged;  // the old leaf, as it is
};

// Belongs to one thread.
class ExtentWorker {
 public:
  ExtentWorker(const ClusterSpace& space, Overlay& overlay, ChunkStore& store)
      : overlay_(overlay), reader_(space), writer_(store, PackKind::data) {}

  Result<ExtentRef> put(const ChangedFile& file, std::uint64_t number, const ExtentRef& previous) {
    const auto size = extent_size(file.entry.size_bytes, number);
    const auto content = content_.whole().first(size);
    PGS_TRY(const auto whole_size, reader_.read_whole(previous, whole_.whole()));
    const auto whole = ByteView(whole_.data(), whole_size);
    const auto offset = number * extent_bytes;
    if (file.has_old_extent(number)) {
      // The old content is at hand: the overlay has only to say what it has itself.
      PGS_CHECK(reader_.complete(previous, whole, content));
      PGS_CHECK(read_changed_blocks(file, offset, content));
    } else {
      PGS_CHECK(overlay_.read(file.node, offset, content));
    }
    return writer_.put_changed_extent(content, previous, whole);
  }
  // Of a file that the old snapshot does not have there.
  Result<ExtentRef> put_new(const ChangedFile& file, std::uint64_t number) {
    const auto content = content_.whole().first(extent_size(file.entry.size_bytes, number));
    PGS_CHECK(overlay_.read(file.node, number * extent_bytes, content));
    return writer_.put_extent(content, nullptr);
  }
  Result<void> finish() { return writer_.finish(); }

 private:
  Result<void> read_changed_blocks(const ChangedFile& file, std::uint64_t offset, MutableByteView content) {
    const auto is_changed = [&](std::size_t within) {
      return file.is_block_changed((offset + within) / overlay_block_bytes);
    };
    for (std::size_t begin = 0; begin < content.size();) {
      auto end = std::min(begin + overlay_block_bytes, content.size());
      if (is_changed(begin)) {
        while (end < content.size() && is_changed(end))
          end = std::min(end + overlay_block_bytes, content.size());
        PGS_CHECK(overlay_.read(file.node, offset + begin, content.subspan(begin, end - begin)));
      }
      begin = end;
    }
    return {};
  }

  Overlay& overlay_;
  ExtentReader reader_;
  ChunkWriter writer_;
  Buffer content_{extent_bytes};
  Buffer whole_{extent_bytes};
};

class OverlayStore {
 public:
  OverlayStore(const ClusterSpace& space, const SnapshotRecord& previous, Overlay& overlay, ChunkStore& store,
               const Cancellation& cancellation)
      : space_(space),
        overlay_(overlay),
        cancellation_(cancellation),
        old_tree_(space, previous.tree),
        tree_(store) {}

  Result<StoredOverlay> run(ChunkStore& store, unsigned workers) {
    if (workers == 0) workers = std::clamp(std::thread::hardware_concurrency(), 1U, 16U);
    for (unsigned i = 0; i < workers; ++i)
      workers_.push_back(std::make_unique<ExtentWorker>(space_, overlay_, store));
    PGS_CHECK(walk(root_node, ""));  // data/ before tablespaces/: which of them are linked to
    PGS_CHECK(store_batch());
    for (const auto& worker : workers_) PGS_CHECK(worker->finish());
    for (auto& file : files_) tree_.add(std::move(file->entry));
    PGS_TRY(stored_.tree, tree_.finish());
    PGS_TRY(const auto packs, FileTreeReader(space_, stored_.tree).packs());
    stored_.packs.assign(packs.begin(), packs.end());
    return std::move(stored_);
  }

 private:
  // A node that was looked up has to be forgotten.
  class Reference {
   public:
    Reference(Overlay& overlay, NodeId node) : overlay_(overlay), node_(node) {}
    ~Reference() { overlay_.forget(node_, 1); }
    Reference(const Reference&) = delete;
    Reference& operator=(const Reference&) = delete;

   private:
    Overlay& overlay_;
    NodeId node_;
  };

  // What recovery made in pg_tblspc itself, in a tablespace that came after the old snapshot, lies in the new
  // one as what is linked to from there.
  static std::optional<std::string> path_to_store(const std::string& path) {
    if (!path.starts_with(branch_tablespace_links)) return path_in_snapshot(path);
    const auto within = path.substr(branch_tablespace_links.size());
    if (within.find('/') == std::string::npos) return std::nullopt;
    return path.substr(std::string_view(branch_data_folder).size() + 1);
  }

  Result<void> walk(NodeId folder, const std::string& path) {
    PGS_CHECK(cancellation_.check());
    PGS_TRY(const auto names, overlay_.list(folder));
    for (const auto& name : names) {
      const auto below = path.empty() ? name.name : path + "/" + name.name;
      PGS_TRY(const auto info, overlay_.lookup(folder, name.name));
      const Reference reference(overlay_, info.node);
      const auto stored_path = path_to_store(below);
      if (below == branch_wal_link) PGS_CHECK(add_wal_folders());
      if (below.starts_with(branch_tablespace_links)) {
        const auto oid = parse_decimal<std::uint32_t>(below.substr(branch_tablespace_links.size()));
        if (oid) stored_.tablespaces.insert(Oid{*oid});
        if (oid && info.kind == OverlayNodeKind::symbolic_link) linked_tablespaces_.insert(Oid{*oid});
      }
      if (info.kind == OverlayNodeKind::symbolic_link) continue;  // to tablespaces, which the record lists
      if (below == branch_tablespaces_folder) {
        PGS_CHECK(walk_tablespaces(info.node));
        continue;
      }
      if (stored_path && !stored_path->empty()) {
        if (left_out_of_snapshots(*stored_path)) continue;
        PGS_CHECK(add(*stored_path, info));
      }
      if (info.kind == OverlayNodeKind::directory) PGS_CHECK(walk(info.node, below));
    }
    return {};
  }

  // Those that are linked to: the folder's list has also what a DROP TABLESPACE has left, and not what nobody
  // has looked up yet. The data directory has the folder of the links, a snapshot none for a tablespace
  // itself.
  Result<void> walk_tablespaces(NodeId folder) {
    for (const auto oid : linked_tablespaces_) {
      const auto name = std::to_string(oid.value);
      PGS_TRY(const auto info, overlay_.lookup(folder, name));
      const Reference reference(overlay_, info.node);
      PGS_CHECK(walk(info.node, fmt::format("{}/{}", branch_tablespaces_folder, name)));
    }
    return {};
  }

  // A snapshot holds no WAL, but the folders that a server expects.
  Result<void> add_wal_folders() {
    PGS_TRY(auto folder, old_tree_.find("pg_wal"));
    if (!folder) return {};
    const auto add_folder = [this](const FileEntry& entry) -> Result<void> {
      ++stored_.files;
      tree_.add(FileEntry(entry));
      return {};
    };
    PGS_CHECK(add_folder(*folder));
    return old_tree_.for_each_in("pg_wal", [&](const FileEntry& entry) -> Result<void> {
      return entry.kind == EntryKind::directory ? add_folder(entry) : Result<void>();
    });
  }

  Result<void> add(const std::string& path, const NodeInfo& info) {
    ++stored_.files;
    if (info.kind == OverlayNodeKind::directory) {
      tree_.add({.path = path, .kind = EntryKind::directory, .mode = info.mode, .size_bytes = 0, .map = {}});
      return {};
    }
    stored_.total_bytes += info.size_bytes;
    PGS_TRY(auto changes, overlay_.changes(info.node));
    std::optional<FileEntry> base;
    if (changes.base_path) {
      // Nothing of a segment of WAL that has another name now.
      if (const auto old_path = path_in_snapshot(*changes.base_path)) {
        PGS_TRY(base, old_tree_.find(*old_path));
      }
    }
    const bool untouched = base && changes.base_limit_bytes == base->size_bytes &&
                           info.size_bytes == base->size_bytes &&
                           std::ranges::find(changes.blocks, true) == changes.blocks.end();
    FileEntry entry{.path = path,
                    .kind = EntryKind::regular,
                    .mode = info.mode,
                    .size_bytes = info.size_bytes,
                    .map = {}};
    if (untouched) {
      entry.map = std::move(base->map);
      tree_.add(std::move(entry));
      return {};
    }
    files_.push_back(std::make_unique<ChangedFile>(
        ChangedFile{std::move(entry), info.node, std::move(base), std::move(changes)}));
    return add_stretches(*files_.back());
  }

  Result<void> add_stretches(ChangedFile& file) {
    const auto count = extent_count(file.entry.size_bytes);
    for (std::uint64_t first = 0; first < count; first += page_map_leaf_extents) {
      PGS_TRY(auto stretch,
              stretch_of(file, first, std::min<std::uint64_t>(page_map_leaf_extents, count - first)));
      pending_ += stretch.extents.size();
      batch_.push_back(std::move(stretch));
      if (pending_ >= batch_extents) PGS_CHECK(store_batch());
    }
    return {};
  }

  // Whether the overlay has some of the extent.
  static bool is_changed(const ChangedFile& file, std::uint64_t number) {
    if (!file.has_old_extent(number)) return true;
    const auto first = number * extent_bytes / overlay_block_bytes;
    const auto count =
        (extent_size(file.entry.size_bytes, number) + overlay_block_bytes - 1) / overlay_block_bytes;
    for (auto block = first; block < first + count; ++block)
      if (file.is_block_changed(block)) return true;
    return false;
  }

  Result<Stretch> stretch_of(ChangedFile& file, std::uint64_t first, std::uint64_t count) {
    Stretch stretch{.file = &file,
                    .first = first,
                    .extents = std::vector<ExtentRef>(count),
                    .changed = {},
                    .unchanged = {}};
    for (std::uint64_t i = 0; i < count; ++i)
      if (is_changed(file, first + i)) stretch.changed.push_back(i);
    const auto old_count = file.base ? extent_count(file.base->size_bytes) : 0;
    const auto shared = std::min(old_count > first ? old_count - first : 0, count);
    const bool same_leaf =
        shared == count && (old_count - first >= page_map_leaf_extents ? count == page_map_leaf_extents
                                                                       : count == old_count - first);
    if (stretch.changed.empty() && same_leaf && !file.base->map.leaves.empty()) {
      stretch.unchanged = file.base->map.leaves[first / page_map_leaf_extents];
      stretch.extents.clear();
      return stretch;
    }
    if (shared == 0) return stretch;
    PGS_TRY(const auto old, old_tree_.extents(*file.base, first, shared));
    std::ranges::copy(old, stretch.extents.begin());
    return stretch;
  }

  struct Task {
    Stretch* stretch;
    std::size_t within;
  };

  Result<void> work(ExtentWorker& worker, const std::vector<Task>& tasks, std::atomic<std::size_t>& next) {
    while (true) {
      const auto index = next.fetch_add(1);
      if (index >= tasks.size()) return {};
      PGS_CHECK(cancellation_.check());
      auto& extent = tasks[index].stretch->extents[tasks[index].within];
      const auto& file = *tasks[index].stretch->file;
      const auto number = tasks[index].stretch->first + tasks[index].within;
      auto stored = extent.chunk ? worker.put(file, number, extent) : worker.put_new(file, number);
      if (!stored) return std::unexpected(std::move(stored).error().with_context("store " + file.entry.path));
      extent = *stored;
    }
  }

  Result<void> store_batch() {
    std::vector<Task> tasks;
    for (auto& stretch : batch_)
      for (const auto within : stretch.changed) tasks.push_back({&stretch, within});
    stored_.changed_extents += tasks.size();
    std::atomic<std::size_t> next = 0;
    std::vector<Result<void>> results(workers_.size());
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 1; i < workers_.size() && i < tasks.size(); ++i)
        threads.emplace_back([&, i] { results[i] = work(*workers_[i], tasks, next); });
      results[0] = work(*workers_[0], tasks, next);
    }
    for (auto& result : results) PGS_CHECK(std::move(result));
    for (auto& stretch : batch_) PGS_CHECK(put_map(stretch));
    batch_.clear();
    pending_ = 0;
    return {};
  }

  Result<void> put_map(Stretch& stretch) {
    auto& map = stretch.file->entry.map;
    if (extent_count(stretch.file->entry.size_bytes) <= PageMap::max_inline_extents) {
      map.extents = std::move(stretch.extents);
      return {};
    }
    if (stretch.unchanged) {
      map.leaves.push_back(*stretch.unchanged);
      return {};
    }
    PGS_TRY(const auto leaf, tree_.put_page_map_leaf(stretch.extents));
    map.leaves.push_back(leaf);
    return {};
  }

  const ClusterSpace& space_;
  Overlay& overlay_;
  const Cancellation& cancellation_;
  FileTreeReader old_tree_;
  FileTreeWriter tree_;
  std::vector<std::unique_ptr<ExtentWorker>> workers_;
  std::vector<std::unique_ptr<ChangedFile>> files_;  // stretches point to them
  std::vector<Stretch> batch_;
  std::size_t pending_ = 0;  // extents in the batch
  StoredOverlay stored_;
  std::set<Oid> linked_tablespaces_;
};

}  // namespace

Result<StoredOverlay> store_overlay(const ClusterSpace& space, const SnapshotRecord& previous,
                                    Overlay& overlay, ChunkStore& store, unsigned workers,
                                    const Cancellation& cancellation) {
  return OverlayStore(space, previous, overlay, store, cancellation).run(store, workers);
}

}  // namespace pgstrata
