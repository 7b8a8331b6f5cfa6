// Copy on write over files that never change, block by block: what a branch wrote, and nothing else.
//
//   LOG         the overlay's log (overlay_log.h): names, nodes, which blocks are the overlay's
//   data/ID     content of node ID, at the offsets it has in the file; sparse: what was not written is a hole
//   settled/ID  what was written to node ID over the base and then left alone (settled_file.h)
//
// A file of the base that was written to has both: its blocks (4 KiB, the kernel's page) are the overlay's or
// the base's, block by block. What lies beyond the base's part of a file, and files that were made here, are
// the overlay's alone. What was written over whole extents of the base and then left alone settles: it becomes
// a difference from the base's, a fraction of the size, and its blocks are holes again.
//
// Durability is that of any file system: after sync(node) has returned, content and size of that node and all
// names that were made, changed or removed before are on the disk; what was not synced may be there or not,
// after the death of this process as after a loss of power. Data come before the log that speaks of them, so
// a block of the base reads as it was before or as it was written, never as zeros. A sync that fails because
// data could not be written fails for that file until the overlay is opened again. An overlay that is
// disposable survives the death of the process alone, and its sync waits for no disk.
//
// Errors carry the errno to answer with (error_number), and 0 where there is none: EIO then. Thread-safe;
// writers of one block must not meet (the kernel's page lock sees to it).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include "base/timestamp.h"
#include "branch/base_files.h"
#include "branch/overlay_log.h"
#include "branch/settled_file.h"

namespace pgstrata {

inline constexpr std::uint32_t overlay_block_bytes = 4096;
inline constexpr std::uint64_t blocks_per_page = page_size / overlay_block_bytes;
inline constexpr std::uint64_t blocks_per_extent = extent_bytes / overlay_block_bytes;

struct OverlayOptions {
  // The log is compacted when it is longer than this, and than four times what it was after the last time.
  std::uint64_t compact_log_bytes = 16U << 20;
  Durability durability = Durability::kept;
  // What was written and then left alone for so long, or twice that, settles, unless more than a little is being
  // written meanwhile; 0: nothing does of itself. Nor does it in an overlay that is disposable.
  std::chrono::milliseconds settle_after = std::chrono::seconds(5);
  std::uint64_t settle_least_bytes = 1U << 20;  // of one file
};

struct NodeInfo {
  NodeId node = 0;
  OverlayNodeKind kind = OverlayNodeKind::regular;
  std::uint32_t mode = 0;  // permission bits
  std::uint64_t size_bytes = 0;
  std::uint64_t links = 1;
  Timestamp modified;
};

class Overlay {
 public:
  // In `folder`, which is there; one process at a time. What an earlier one left is cleaned up and made
  // durable, or is to be synced where it is disposable. `base` is borrowed. Errors: damaged, newer_format;
  // those of the disk.
  static Result<std::unique_ptr<Overlay>> open(const std::filesystem::path& folder, BaseFiles& base,
                                               const OverlayOptions& options = {});
  ~Overlay();
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  // Names. Each lookup, and each call that makes a node, counts one reference, which forget() takes back.
  // Error: ENOENT and their kin.
  Result<NodeInfo> lookup(NodeId folder, const std::string& name);
  void forget(NodeId node, std::uint64_t references);
  Result<NodeInfo> info(NodeId node);
  struct Named {
    std::string name;
    OverlayNodeKind kind;
  };
  Result<std::vector<Named>> list(NodeId folder);

  Result<NodeInfo> make_file(NodeId folder, const std::string& name, std::uint32_t mode);
  Result<NodeInfo> make_folder(NodeId folder, const std::string& name, std::uint32_t mode);
  Result<NodeInfo> make_symbolic_link(NodeId folder, const std::string& name, std::string target);
  Result<NodeInfo> add_name(NodeId node, NodeId folder, const std::string& name);
  Result<void> remove_file(NodeId folder, const std::string& name);
  Result<void> remove_folder(NodeId folder, const std::string& name);
  struct Place {
    NodeId folder;
    std::string name;
  };
  // Replaces what is at `to`, unless told not to.
  Result<void> rename(const Place& from, const Place& to, bool replace);
  Result<std::string> link_target(NodeId node);

  Result<void> set_mode(NodeId node, std::uint32_t mode);
  Result<void> set_modified(NodeId node, Timestamp time);
  Result<void> resize(NodeId node, std::uint64_t size_bytes);
  // As fallocate(2); `mode` 0 or FALLOC_FL_KEEP_SIZE. Error: EOPNOTSUPP.
  Result<void> allocate(NodeId node, int mode, std::uint64_t offset, std::uint64_t size_bytes);

  // How much there was: less than asked for only at the file's end.
  Result<std::size_t> read(NodeId node, std::uint64_t offset, MutableByteView into);
  Result<void> write(NodeId node, std::uint64_t offset, ByteView bytes);
  Result<void> sync(NodeId node);
  // Everything.
  Result<void> sync_all();
  // Of each file, what was written before the last call and not since. Durable when it returns. After an error
  // what has not settled is as it was, and tried again by the next call.
  Result<void> settle();

  // Which parts of a file the overlay has: for who stores or copies it.
  struct Changes {
    std::optional<std::string> base_path;
    std::uint64_t base_limit_bytes = 0;
    std::vector<bool> blocks;  // of the base's part; all beyond it are the overlay's
    std::uint64_t size_bytes = 0;
  };
  Result<Changes> changes(NodeId node);

 private:
  struct Node;
  struct Change;
  class DataFiles;
  using NodePtr = std::shared_ptr<Node>;  // shared: a call goes on with a node that another one removes

  Overlay(std::filesystem::path folder, BaseFiles& base, const OverlayOptions& options);
  Result<void> load();
  Result<void> replay(std::vector<OverlayRecord> records);
  Result<void> learn_sizes();
  Result<void> learn_settled(Node& node) const;
  static void add_live_records(const Node& node, std::vector<OverlayRecord>& records);
  [[nodiscard]] std::vector<OverlayRecord> live_records() const;  // the tree's mutex held exclusively
  Result<void> sync_data_of_earlier_process();
  Result<void> remove_orphans();

  Result<NodePtr> node_of(NodeId node) const;
  [[nodiscard]] NodeInfo info_of(const Node& node) const;

  // Of the tree: the caller holds tree_mutex_, exclusively where something changes.
  Result<NodePtr> get(NodeId node) const;
  Result<NodePtr> get_folder(NodeId node) const;
  NodePtr known_child(const Node& folder, const std::string& name, bool& hidden) const;
  NodePtr take_from_base(const NodePtr& folder, const std::string& name, const BaseEntry& entry);
  Result<NodePtr> child(const NodePtr& folder, const std::string& name);
  Result<NodePtr> existing_child(const NodePtr& folder, const std::string& name);
  Result<bool> base_has(const Node& folder, const std::string& name);
  NodePtr new_node(OverlayNodeKind kind, std::uint32_t mode);
  void make_own(Change& change, const NodePtr& node);
  void bind(Change& change, const NodePtr& folder, const std::string& name, const NodePtr& node);
  Result<void> unbind(Change& change, const NodePtr& folder, const std::string& name);
  Result<void> commit(Change change);
  Result<NodeInfo> make(NodeId folder, const std::string& name, const NodePtr& node);
  Result<std::vector<BaseFiles::Named>> list_base(const std::optional<std::string>& base_path);
  [[nodiscard]] std::vector<Named> merged(const Node& folder,
                                          const std::vector<BaseFiles::Named>& below) const;
  Result<void> check_empty(const Node& folder, const std::string& name);
  Result<void> check_replaced(const NodePtr& node, const NodePtr& other, bool replace);
  void drop_if_unused(const NodePtr& node);

  // Of content: the caller holds no lock, or the node's where it says so.
  Result<void> ensure_own(const NodePtr& node);
  Result<std::shared_ptr<FileDescriptor>> data_to_write(Node& node);  // node's mutex held
  Result<void> fill_from_base(Node& node, const FileDescriptor& data,
                              std::uint64_t block);  // node's mutex held
  Result<void> keep_edges(Node& node, const FileDescriptor& data, std::uint64_t offset,
                          std::uint64_t end);  // node's mutex held
  Result<std::size_t> read_node(Node& node, std::uint64_t offset, MutableByteView into);
  Result<BaseFile*> base_file(Node& node);
  static Result<void> read_base(BaseFile& base, const SettledFile* settled, std::uint64_t offset,
                                MutableByteView into);
  Result<void> allow_growth(const NodePtr& node, std::uint64_t end);
  Result<void> sync_node(const NodePtr& node);
  Result<void> sync_data(Node& node, const FileDescriptor& data, const BlockRuns& blocks);
  Result<void> log_blocks(Node& node, const std::vector<OverlayRecord>& records);
  Result<void> sync_log();
  void compact_log();
  void clean_up(const std::stop_token& stop);
  bool remove_dead(const std::vector<NodeId>& dead);

  // Of settling.
  struct Settling;
  using GoesOn = std::function<bool()>;
  bool settle_if_quiet(const std::stop_token& stop);
  Result<void> settle_while(const GoesOn& goes_on);
  Result<void> settle_node(const NodePtr& node, const GoesOn& goes_on);
  Result<void> store_differences(Node& node, Settling& settling, const GoesOn& goes_on);
  [[nodiscard]] Result<SettledFileWriter> new_settled_file(NodeId node, const SettledFile* before) const;
  Result<void> give_back(const NodePtr& node, const Settling& settling);
  Result<void> punch(Node& node, const GoesOn& goes_on);
  [[nodiscard]] std::filesystem::path settled_path(NodeId node) const;

  const std::filesystem::path folder_;
  BaseFiles& base_;
  const OverlayOptions options_;
  const Timestamp opened_;
  std::unique_ptr<OverlayLog> log_;
  std::unique_ptr<DataFiles> data_;
  std::atomic<std::uint64_t> compact_at_bytes_;
  std::atomic<std::uint64_t> written_bytes_ = 0;  // since it was last asked whether there is quiet
  std::mutex settle_mutex_;  // held while anything settles or goes for good; taken before all others; guards:
  bool makes_holes_ = true;
  bool settling_failed_ = false;  // and that was told; the cleaner's alone
  bool settles_ = true;           // the last time it did; the cleaner's alone

  mutable std::shared_mutex tree_mutex_;  // taken before any node's mutex; guards what follows
  std::unordered_map<NodeId, NodePtr> nodes_;
  NodeId next_node_ = root_node + 1;

  std::mutex dead_mutex_;  // guards what follows; taken last
  std::condition_variable_any dead_arrived_;
  std::vector<NodeId> dead_;  // whose data go once the log that forgot them is durable
  bool log_is_long_ = false;
  std::jthread cleaner_;
};

}  // namespace pgstrata
