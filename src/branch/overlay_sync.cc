// What makes an overlay durable, and its log short.
#include <algorithm>
#include <cerrno>

#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "branch/overlay_node.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr auto clean_up_again_after = std::chrono::seconds(1);
constexpr std::uint64_t log_growth_max = 4;
constexpr int cleaner_niceness = 5;
// After what went wrong again and again: it costs work each time.
constexpr std::chrono::milliseconds settle_wait_max = std::chrono::minutes(10);

}  // namespace

Result<void> Overlay::sync(NodeId id) {
  PGS_TRY(const auto node, node_of(id));
  return sync_node(node);
}

Result<void> Overlay::sync_node(const NodePtr& node) {
  const std::lock_guard syncing(node->sync_mutex);
  std::vector<OverlayRecord> records;
  BlockRuns blocks;
  std::shared_ptr<FileDescriptor> data;
  {
    const std::lock_guard lock(node->mutex);
    if (node->unsynced) {
      PGS_TRY(data, data_->open(node->id));
    }
    if (node->failed) return fail_errno(EIO, "sync data that failed to be synced before");
    blocks.swap(node->unlogged);
    node->unsynced = false;
    if (node->base_limit_bytes < node->logged_limit_bytes)
      records.push_back(LimitRecord{node->id, node->base_limit_bytes});
  }
  for (const auto& [first, count] : blocks) records.push_back(BlocksRecord{node->id, first, count});
  if (data) PGS_CHECK(sync_data(*node, *data, blocks));
  auto logged = data_->sync_names();
  if (logged) logged = log_blocks(*node, records);
  if (!logged) {
    // Not lost: the next sync says so again.
    const std::lock_guard lock(node->mutex);
    node->unlogged.insert(node->unlogged.begin(), blocks.begin(), blocks.end());
    return logged;
  }
  return sync_log();
}

Result<void> Overlay::sync_data(Node& node, const FileDescriptor& data, const BlockRuns& blocks) {
  auto synced = sync_content(data, options_.durability);
  if (synced) return {};
  const std::lock_guard lock(node.mutex);
  // The kernel may have dropped what it could not write. Of these blocks the base has a content, still.
  node.failed = true;
  node.unmark(blocks);
  return synced;
}

Result<void> Overlay::log_blocks(Node& node, const std::vector<OverlayRecord>& records) {
  if (records.empty()) return {};
  // Against one who compacts the log: he must see both or none. A node that is gone is none of its any more.
  const std::shared_lock tree(tree_mutex_);
  if (!nodes_.contains(node.id)) return {};
  PGS_CHECK(log_->append(records));
  const std::lock_guard lock(node.mutex);
  node.mark_logged(records);
  return {};
}

Result<void> Overlay::sync_log() {
  PGS_CHECK(data_->sync_names());
  PGS_CHECK(log_->sync());
  if (log_->size_bytes() < compact_at_bytes_) return {};
  const std::lock_guard lock(dead_mutex_);
  log_is_long_ = true;
  dead_arrived_.notify_all();
  return {};
}

Result<void> Overlay::sync_all() {
  std::vector<NodeId> nodes;
  {
    const std::shared_lock lock(tree_mutex_);
    for (const auto& [id, node] : nodes_) {
      const std::lock_guard node_lock(node->mutex);
      if (node->unsynced || !node->unlogged.empty()) nodes.push_back(id);
    }
  }
  for (const NodeId node : nodes) {
    auto synced = sync(node);
    if (!synced && synced.error().error_number() != ESTALE) return synced;
  }
  return sync_log();
}

bool Overlay::remove_dead(const std::vector<NodeId>& dead) {
  if (!sync_log()) return false;
  const std::lock_guard settling(settle_mutex_);
  for (const NodeId node : dead) {
    static_cast<void>(data_->remove(node));
    static_cast<void>(remove_file_if_there(settled_path(node)));
  }
  return true;
}

void Overlay::clean_up(const std::stop_token& stop) {
  using std::chrono::steady_clock;
  // It is in no hurry. On Linux this is the thread's alone; without the right to change it, it stays as it was.
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), cleaner_niceness));
  const bool settles = options_.settle_after.count() != 0 && options_.durability == Durability::kept;
  auto settle_wait = options_.settle_after;
  auto settle_at = steady_clock::now() + settle_wait;
  while (!stop.stop_requested()) {
    std::vector<NodeId> dead;
    bool log_is_long = false;
    {
      std::unique_lock lock(dead_mutex_);
      const auto something = [this] { return !dead_.empty() || log_is_long_; };
      if (settles) {
        dead_arrived_.wait_until(lock, stop, settle_at, something);
      } else {
        dead_arrived_.wait(lock, stop, something);
      }
      dead.swap(dead_);
      log_is_long = std::exchange(log_is_long_, false);
    }
    if (stop.stop_requested()) return;
    if (log_is_long) compact_log();
    if (!dead.empty() && !remove_dead(dead)) {
      // They are what takes the room, perhaps.
      std::unique_lock lock(dead_mutex_);
      dead_.insert(dead_.end(), dead.begin(), dead.end());
      dead_arrived_.wait_for(lock, stop, clean_up_again_after, [] { return false; });
    }
    if (!settles || steady_clock::now() < settle_at) continue;
    settle_wait = settle_if_quiet(stop) ? options_.settle_after : std::min(2 * settle_wait, settle_wait_max);
    settle_at = steady_clock::now() + settle_wait;
  }
}

void Overlay::compact_log() {
  std::vector<OverlayRecord> records;
  std::uint64_t since = 0;
  {
    const std::unique_lock lock(tree_mutex_);  // nobody speaks to the log meanwhile
    records = live_records();
    since = log_->size_bytes();
  }
  if (const auto done = log_->compact(records, since); !done)
    log_warning("an overlay's log was not compacted: {}", done.error().describe());
  compact_at_bytes_ = std::max(options_.compact_log_bytes, log_growth_max * log_->size_bytes());
}

}  // namespace pgstrata
