#include "restore/restore_files.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "base/bounded_queue.h"
#include "base/log.h"
#include "restore/batch_producer.h"
#include "restore/delta_cleanup.h"
#include "snapshot/tablespace_rules.h"

namespace pgstrata {
namespace {

constexpr unsigned workers_max = 16;

// The workers of one restore, fed with batches.
class WorkerPool {
 public:
  WorkerPool(const ClusterSpace& space, const RestoreLayout& layout, const RestoreFilesOptions& options,
             std::uint64_t bytes_total, const Cancellation& cancellation)
      : options_(options), cancellation_(cancellation), queue_(2 * count(options)) {
    progress_.bytes_total = bytes_total;
    for (unsigned index = 0; index < count(options); ++index) {
      threads_.emplace_back([this, &space, &layout] { work(ExtentRestorer(space, layout)); });
    }
  }
  ~WorkerPool() {
    queue_.abandon();
    join();
  }

  Result<void> add(RestoreBatch batch) {
    PGS_CHECK(cancellation_.check());
    if (queue_.push(std::move(batch))) return {};
    return first_error();
  }
  Result<ExtentCounts> finish() {
    queue_.close();
    join();
    PGS_CHECK(first_error());
    return counts_;
  }

 private:
  static unsigned count(const RestoreFilesOptions& options) {
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    return std::min(options.workers == 0 ? cores : options.workers, workers_max);
  }

  void work(ExtentRestorer restorer) {
    while (auto batch = queue_.pop()) {
      const auto stop = cancellation_.check();
      auto counts = stop ? restorer.restore(*batch) : Result<ExtentCounts>(std::unexpected(stop.error()));
      if (!counts) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::move(counts).error();
        queue_.abandon();
        return;
      }
      account(*batch, *counts);
    }
  }

  void account(const RestoreBatch& batch, const ExtentCounts& counts) {
    const std::lock_guard lock(mutex_);
    counts_.written_bytes += counts.written_bytes;
    counts_.reused_bytes += counts.reused_bytes;
    counts_.zero_bytes += counts.zero_bytes;
    progress_.bytes_done += batch.size_bytes;
    if (options_.on_progress) options_.on_progress(progress_);
  }

  Result<void> first_error() {
    const std::lock_guard lock(mutex_);
    if (error_) return std::unexpected(*error_);
    return {};
  }
  void join() {
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  const RestoreFilesOptions& options_;
  const Cancellation& cancellation_;
  BoundedQueue<RestoreBatch> queue_;
  std::mutex mutex_;
  ExtentCounts counts_;         // guarded by mutex_
  RestoreProgress progress_;    // guarded by mutex_
  std::optional<Error> error_;  // guarded by mutex_: the first
  std::vector<std::thread> threads_;
};

template <class Use>
Result<void> for_each_directory(const RestoreLayout& layout, const Use& use) {
  PGS_CHECK(use(layout.data(), Oid{}));
  for (const auto& [oid, directory] : layout.tablespaces()) PGS_CHECK(use(directory, oid));
  return {};
}

// Whatever the snapshot says, only what PostgreSQL keeps there goes into a tablespace's folder.
Result<void> check_tablespace_files(const RestoreLayout& layout, FileTreeReader& tree,
                                    const SnapshotRecord& snapshot) {
  if (layout.tablespaces().empty()) return {};
  return tree.for_each([&](const FileEntry& entry) -> Result<void> {
    const auto path = parse_tablespace_path(entry.path);
    if (!path || !layout.tablespaces().contains(path->oid)) return {};
    const bool itself = path->within.empty() && entry.kind == EntryKind::directory;
    if (itself || in_version_folder(*path, snapshot.server_version)) return {};
    return std::unexpected(
        make_error(ErrorCode::failed,
                   "the snapshot has {:?} in tablespace {}, which is not PostgreSQL's there", path->within,
                   path->oid)
            .with_hint("The server, or somebody in between, sent it when the backup was made. Nothing was "
                       "written; do not trust this snapshot, and look at that server."));
  });
}

// What is written outside of the data directory is said before that.
void announce_tablespaces(const RestoreLayout& layout, const SnapshotRecord& snapshot) {
  for (const auto& [oid, directory] : layout.tablespaces()) {
    const auto source = std::ranges::find(snapshot.tablespaces, oid, &TablespaceEntry::oid);
    if (source != snapshot.tablespaces.end() && directory.path() == source->location) {
      log_warning(
          "tablespace {} is written to \"{}\", its place on the source; --tablespace puts it elsewhere", oid,
          directory.path().native());
    } else {
      log_info("tablespace {} is written to \"{}\"", oid, directory.path().native());
    }
  }
}

// From here on no server starts on the directory.
Result<void> make_unstartable(const RestoreLayout& layout, const SnapshotRecord& snapshot) {
  PGS_CHECK(for_each_directory(layout, [&](const TargetDirectory& directory, Oid tablespace) {
    return directory.write(unfinished_marker, write_marker(snapshot, tablespace));
  }));
  if (!layout.over_existing()) return {};
  PGS_CHECK(layout.data().remove(control_file_path));
  auto synced = layout.data().sync_names("global");
  if (!synced && synced.error().code() != ErrorCode::not_found) return synced;
  return {};
}

Result<void> link_tablespaces(const RestoreLayout& layout) {
  for (const auto& [oid, directory] : layout.tablespaces()) {
    const auto link = fmt::format("pg_tblspc/{}", oid);
    PGS_TRY(const auto leads_to, layout.data().read_link(link));
    if (leads_to != directory.path()) PGS_CHECK(layout.data().make_link(link, directory.path()));
  }
  return {};
}

Result<void> make_durable(const RestoreLayout& layout) {
  std::set<std::uint64_t> done;
  return for_each_directory(layout, [&](const TargetDirectory& directory, Oid) -> Result<void> {
    if (!done.insert(directory.device()).second) return {};
    return directory.sync();
  });
}

Result<void> remove_markers(const RestoreLayout& layout) {
  return for_each_directory(layout, [](const TargetDirectory& directory, Oid) -> Result<void> {
    PGS_CHECK(directory.remove(unfinished_marker));
    return directory.sync_names("");
  });
}

// A group may read the restored cluster when it may read the source.
Result<void> set_folder_modes(const RestoreLayout& layout, FileTreeReader& tree) {
  PGS_TRY(const auto version_file, tree.find("PG_VERSION"));
  const mode_t mode = version_file && (version_file->mode & 040U) != 0 ? 0750 : 0700;
  return for_each_directory(layout,
                            [&](const TargetDirectory& directory, Oid) { return directory.set_mode(mode); });
}

Result<void> write_control_file(const ClusterSpace& space, const RestoreLayout& layout, FileTreeReader& tree,
                                const FileEntry& entry) {
  ExtentRestorer restorer(space, layout);
  BatchProducer single(tree, layout, [&](const RestoreBatch& batch) -> Result<void> {
    PGS_CHECK(restorer.restore(batch));
    return {};
  });
  PGS_CHECK(single.add_file(entry));
  PGS_CHECK(single.flush());
  return make_durable(layout);
}

}  // namespace

Result<RestoredFiles> restore_files(const ClusterSpace& space, const SnapshotRecord& snapshot,
                                    const RestoreFilesOptions& options, const Cancellation& cancellation) {
  PGS_TRY(const auto layout, RestoreLayout::prepare(snapshot, {.data_directory = options.data_directory,
                                                               .mappings = options.tablespace_mappings,
                                                               .delta = options.delta}));
  FileTreeReader tree(space, snapshot.tree);
  const auto check = [&]() -> Result<void> {
    PGS_CHECK(check_tablespace_files(layout, tree, snapshot));
    return check_free_space(layout, tree, options.further_bytes + options.grown_bytes);
  };
  if (auto checked = check(); !checked) {
    layout.unmake();
    return std::unexpected(std::move(checked).error());
  }
  announce_tablespaces(layout, snapshot);
  PGS_CHECK(make_unstartable(layout, snapshot));
  if (layout.over_existing()) PGS_CHECK(remove_what_the_snapshot_lacks(layout, tree, cancellation));
  PGS_CHECK(set_folder_modes(layout, tree));

  WorkerPool pool(space, layout, options, snapshot.total_bytes + options.further_bytes, cancellation);
  BatchProducer producer(tree, layout, [&](RestoreBatch batch) { return pool.add(std::move(batch)); });
  PGS_CHECK(producer.run());
  PGS_TRY(const auto counts, pool.finish());
  if (!producer.control_file()) {
    return fail(ErrorCode::damaged, "snapshot {} has no {}", snapshot.id, control_file_path);
  }
  PGS_CHECK(link_tablespaces(layout));
  if (options.before_durable) PGS_CHECK(options.before_durable(layout.data()));
  std::optional<Bytes> other_control;
  if (options.become) {
    PGS_TRY(other_control, options.become(layout));
  }
  PGS_CHECK(make_durable(layout));
  if (other_control) {
    PGS_CHECK(layout.data().write(control_file_path, *other_control));
  } else {
    PGS_CHECK(write_control_file(space, layout, tree, *producer.control_file()));
  }
  PGS_CHECK(remove_markers(layout));

  RestoredFiles restored;
  restored.files = producer.files() + 1;
  restored.total_bytes = snapshot.total_bytes;
  restored.written_bytes = counts.written_bytes + producer.control_file()->size_bytes;
  restored.reused_bytes = counts.reused_bytes;
  restored.zero_bytes = counts.zero_bytes;
  restored.owner = layout.data().owner();
  return restored;
}

}  // namespace pgstrata
