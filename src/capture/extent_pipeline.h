// The middle of a base backup: runs of extents come in from the receiving thread, workers check, find or
// store them, and each file enters the tree when its last extent is stored. Internal to this room.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "capture/base_backup.h"
#include "snapshot/file_tree_writer.h"

namespace pgstrata {

// A run is what one worker takes at a time: extents that follow each other in one file and one page map leaf,
// packed side by side so that they are read back in one request.
inline constexpr std::uint32_t run_extents = 8;
inline constexpr std::uint32_t run_bytes = run_extents * extent_bytes;
static_assert(page_map_leaf_extents % run_extents == 0);

// A file on its way. Made by the receiving thread; workers fill it in. It takes memory for what has come, not
// for the size that its header claims.
class IncomingFile {
 public:
  IncomingFile(FileEntry entry, bool check_pages);

  [[nodiscard]] const FileEntry& entry() const { return entry_; }
  // The leaf that begins at extent `first` is next; `previous` are its extents as the last snapshot has them.
  // By the receiving thread, before that leaf's first run.
  void begin_leaf(std::uint64_t first, std::vector<ExtentRef> previous);

 private:
  friend class ExtentPipeline;

  struct Leaf {
    std::uint64_t index = 0;
    std::vector<ExtentRef> extents;
    std::vector<ExtentRef> previous;
    std::size_t missing = 0;  // extents not stored yet; guarded by the pipeline's tree_mutex_
  };

  FileEntry entry_;                       // its map is guarded by the pipeline's tree_mutex_
  std::optional<RelationPath> relation_;  // set when its pages are to be checked
  // The receiving thread's; shared: its runs are in several workers' hands.
  std::shared_ptr<Leaf> leaf_;
  std::uint64_t missing_leaves_ = 0;  // guarded by the pipeline's tree_mutex_
};

// push and add_without_content are for the receiving thread.
class ExtentPipeline {
 public:
  ExtentPipeline(ChunkStore& store, unsigned workers);
  ~ExtentPipeline();

  // Content of `file` from extent `first_extent` on, at most run_bytes, whole extents but for the file's
  // last. Blocks while the workers are behind. Error: the first a worker met.
  Result<void> push(std::shared_ptr<IncomingFile> file, std::uint64_t first_extent, Buffer content);
  // A buffer of run_bytes, used before when there is one.
  [[nodiscard]] Buffer take_buffer();
  // A worker met an error, which push returns.
  [[nodiscard]] bool failed();
  // A directory or an empty file.
  void add_without_content(FileEntry entry);

  struct Outcome {
    ChunkRef tree;
    std::vector<PackId> packs;
    std::uint64_t files = 0;
    std::vector<SuspectPage> suspects;
    std::uint64_t suspects_not_listed = 0;
  };
  // Waits for the workers, commits their packs, writes the tree. Everything is durable when it returns.
  Result<Outcome> finish();
  // Keeps what is stored: commits the packs as they are, so that the next run finds their chunks.
  void keep_what_is_stored();

 private:
  struct Run {
    std::shared_ptr<IncomingFile> file;  // shared: its runs are in several workers' hands
    std::shared_ptr<IncomingFile::Leaf> leaf;
    std::uint64_t first_extent = 0;
    Buffer content;
  };

  void work(ChunkWriter& chunks);
  Result<void> store_run(Run& run, ChunkWriter& chunks);
  Result<void> complete(IncomingFile& file, IncomingFile::Leaf& leaf, std::size_t count);
  void check_pages(const IncomingFile& file, std::uint64_t first_extent, ByteView content);
  Result<void> join();

  BoundedQueue<Run> queue_;
  std::vector<std::unique_ptr<ChunkWriter>> writers_;  // one per worker; stable addresses
  std::vector<std::jthread> workers_;

  std::mutex tree_mutex_;
  FileTreeWriter tree_;  // guarded by tree_mutex_

  std::mutex mutex_;                       // never held together with tree_mutex_
  std::optional<Error> error_;             // guarded by mutex_: the first one
  std::vector<SuspectPage> suspects_;      // guarded by mutex_
  std::uint64_t suspects_not_listed_ = 0;  // guarded by mutex_
  std::vector<Buffer> free_buffers_;       // guarded by mutex_
};

}  // namespace pgstrata
