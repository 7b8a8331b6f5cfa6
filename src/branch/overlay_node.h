// What an overlay keeps of one node, and its open data files. Internal to the room.
#pragma once

#include <atomic>
#include <cerrno>
#include <list>
#include <map>
#include <set>

#include "branch/overlay.h"

namespace pgstrata {

struct Overlay::Node {
  NodeId id = 0;
  OverlayNodeKind kind = OverlayNodeKind::regular;

  // Guarded by the overlay's tree_mutex_.
  std::uint32_t mode = 0;
  std::optional<std::string> base_path;
  std::string link_target;
  std::uint64_t links = 0;  // names that lead here
  NodeId parent = 0;        // of a node that is the base's alone: where it is
  std::string name;
  // Of a folder: what the overlay says of names in it, 0 for one that hides the base's; and nodes of the base
  // that are in use.
  std::map<std::string, NodeId> children;

  // Set once, under the tree's mutex: the log knows it.
  std::atomic<bool> own = false;
  std::atomic<std::uint64_t> references = 0;

  std::mutex sync_mutex;  // one sync at a time; taken before `mutex`
  // Held, shared, from the moment when it is seen which blocks are data until those are read, so that they do not
  // become holes meanwhile; taken before `mutex`.
  std::shared_timed_mutex holes_mutex;
  mutable std::mutex mutex;  // guards what follows
  std::uint64_t size_bytes = 0;
  std::uint64_t base_limit_bytes = 0;
  std::vector<bool> blocks;  // of the base's part: written here. Empty: none was
  // What the log says of both: it learns of them by a sync, after the data are durable.
  std::uint64_t logged_limit_bytes = 0;
  std::vector<bool> logged;
  BlockRuns unlogged;  // written since
  bool has_data = false;
  bool unsynced = false;
  bool failed = false;  // a sync failed: what the disk holds is not known
  enum class Rest : std::uint8_t { none, written, idle };
  std::vector<Rest> extents;                   // of the base's part, as far as they were written
  std::uint32_t writers = 0;                   // at work, without the mutex
  std::uint64_t settled_serial = 0;            // that the log has spoken of
  std::shared_ptr<const SettledFile> settled;  // shared: readers go on with it while the next takes its place
  std::unique_ptr<BaseFile> base;
  Timestamp modified;

  [[nodiscard]] std::uint64_t base_blocks() const {
    return (base_limit_bytes + overlay_block_bytes - 1) / overlay_block_bytes;
  }
  // Of a block of the base's part.
  [[nodiscard]] bool is_written(std::uint64_t block) const {
    return block < blocks.size() && blocks[static_cast<std::size_t>(block)];
  }
  [[nodiscard]] bool is_logged(std::uint64_t block) const {
    return block < logged.size() && logged[static_cast<std::size_t>(block)];
  }
  // Its bytes are on their way, or have come.
  void touch(std::uint64_t offset, std::uint64_t end);
  void mark_written(std::uint64_t first, std::uint64_t count);
  void cut_base(std::uint64_t limit_bytes);
  // The log has been told.
  void mark_logged(const std::vector<OverlayRecord>& records);
  // As if they had not been written.
  void unmark(const BlockRuns& runs);
  // The same, and the log has been told.
  void unmark_logged(const BlockRuns& runs);
  // Whether the extent is all of the base's part.
  [[nodiscard]] bool has_whole(std::uint64_t extent) const {
    return (extent + 1) * extent_bytes <= base_limit_bytes;
  }
  // Of such an extent; 0 of another.
  [[nodiscard]] std::uint64_t written_blocks(std::uint64_t extent) const;
  [[nodiscard]] PageBits written_pages(std::uint64_t extent) const;
  // Of settling (overlay_settle.cc).
  std::set<std::uint64_t>
      unpunched;  // extents that have settled, and may have data still; under settle_mutex_
  std::vector<std::uint64_t> take_idle(std::uint64_t least_bytes);
  void put_back_idle(const std::vector<std::uint64_t>& idle);
  [[nodiscard]] BlockRuns runs_left_alone(const std::vector<std::uint64_t>& settled_extents) const;
  // All of it, and nobody is about to write to it.
  [[nodiscard]] bool is_of_base(std::uint64_t extent) const;
};

// The files data/ID, the most recently used open. Thread-safe.
class Overlay::DataFiles {
 public:
  DataFiles(std::filesystem::path folder, Durability durability)
      : folder_(std::move(folder)), durability_(durability) {}

  // Of a node that has data. Shared: it stays open as long as somebody uses it.
  Result<std::shared_ptr<FileDescriptor>> open(NodeId node);
  // All zeros. It appears under its name with its size, as a crash takes a file's size from it.
  Result<std::shared_ptr<FileDescriptor>> make(NodeId node, std::uint64_t size_bytes);
  Result<void> remove(NodeId node);
  // The names of the files made so far are durable when it returns.
  Result<void> sync_names();
  [[nodiscard]] std::filesystem::path path(NodeId node) const { return folder_ / std::to_string(node); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  static constexpr std::size_t open_files_max = 512;
  using Recent = std::list<std::pair<NodeId, std::shared_ptr<FileDescriptor>>>;

  std::shared_ptr<FileDescriptor> keep(NodeId node, FileDescriptor file);  // mutex_ held

  const std::filesystem::path folder_;
  const Durability durability_;
  std::atomic<bool> names_changed_ = false;
  std::mutex names_mutex_;  // one sync at a time: who finds nothing to do must not be told before it is done
  std::mutex mutex_;        // guards what follows
  Recent recent_;           // newest first
  std::unordered_map<NodeId, Recent::iterator> open_;
};

// What a call is about to change: said to the log first, done after that.
struct Overlay::Change {
  std::vector<OverlayRecord> records;
  std::vector<std::function<void()>> then;
  std::vector<const Node*> owned;
};

// What goes wrong in the base is an I/O error for whoever asks, whatever it was in the repository: an object
// that is missing there is no missing file.
template <class T>
[[nodiscard]] Result<T> of_base(Result<T> result) {
  if (!result) result.error() = std::move(result.error()).with_error_number(EIO);
  return result;
}

[[nodiscard]] inline std::unexpected<Error> fail_errno(int number, std::string_view what) {
  return std::unexpected(error_from_errno(number, what));
}

}  // namespace pgstrata
