#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "branch/overlay_node.h"
#include "sys/durable.h"

namespace pgstrata {

// --- data files ---

Result<std::shared_ptr<FileDescriptor>> Overlay::DataFiles::open(NodeId node) {
  const std::lock_guard lock(mutex_);
  if (const auto found = open_.find(node); found != open_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->second;
  }
  auto file = open_file(path(node), O_RDWR);
  if (!file && file.error().code() == ErrorCode::not_found) {
    file = open_file(path(node), O_RDWR | O_CREAT);
    names_changed_ = true;
  }
  if (!file) return std::unexpected(std::move(file).error());
  recent_.emplace_front(node, std::make_shared<FileDescriptor>(*std::move(file)));
  open_[node] = recent_.begin();
  if (recent_.size() > open_files_max) {
    open_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return recent_.front().second;
}

Result<void> Overlay::DataFiles::remove(NodeId node) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = open_.find(node); found != open_.end()) {
      recent_.erase(found->second);
      open_.erase(found);
    }
  }
  return pgstrata::remove_file(path(node));
}

Result<void> Overlay::DataFiles::sync_names() {
  if (!names_changed_.exchange(false)) return {};
  auto synced = sync_directory(folder_);
  if (!synced) names_changed_ = true;
  return synced;
}

void Overlay::Node::mark_written(std::uint64_t first, std::uint64_t count) {
  const auto end = std::min(first + count, base_blocks());
  if (first >= end) return;
  if (blocks.size() < base_blocks()) blocks.resize(static_cast<std::size_t>(base_blocks()));
  for (auto block = first; block < end; ++block) {
    if (blocks[static_cast<std::size_t>(block)]) continue;
    blocks[static_cast<std::size_t>(block)] = true;
    if (!unlogged.empty() && unlogged.back().first + unlogged.back().second == block) {
      ++unlogged.back().second;
    } else {
      unlogged.emplace_back(block, 1);
    }
  }
}

// --- writing ---

Result<void> Overlay::ensure_own(const NodePtr& node) {
  if (node->own) return {};
  const std::unique_lock lock(tree_mutex_);
  Change change;
  make_own(change, node);
  return commit(std::move(change));
}

Result<std::shared_ptr<FileDescriptor>> Overlay::data_to_write(Node& node) {
  PGS_TRY(auto data, data_->open(node.id));
  if (!node.has_data) {
    PGS_CHECK(resize_file(*data, node.size_bytes));
    node.has_data = true;
  }
  return data;
}

Result<void> Overlay::read_base(Node& node, std::uint64_t offset, MutableByteView into) {
  if (into.empty()) return {};
  BaseFile* base = nullptr;
  {
    const std::lock_guard lock(node.mutex);
    base = node.base.get();
  }
  if (base == nullptr) {
    PGS_TRY(auto opened, base_.open(*node.base_path));
    const std::lock_guard lock(node.mutex);
    if (!node.base) node.base = std::move(opened);
    base = node.base.get();
  }
  return base->read(offset, into);
}

// The block as the base has it, into the overlay; what is beyond the base's part is zeros there already.
Result<void> Overlay::fill_from_base(Node& node, const FileDescriptor& data, std::uint64_t block) {
  const auto start = block * overlay_block_bytes;
  Bytes content(
      static_cast<std::size_t>(std::min<std::uint64_t>(overlay_block_bytes, node.base_limit_bytes - start)));
  if (!node.base) {
    PGS_TRY(node.base, base_.open(*node.base_path));
  }
  PGS_CHECK(node.base->read(start, content));
  return write_all_at(data, start, content);
}

// A write that begins or ends within a block of the base's takes the rest of it along.
Result<void> Overlay::keep_edges(Node& node, const FileDescriptor& data, std::uint64_t offset,
                                 std::uint64_t end) {
  const auto first = offset / overlay_block_bytes;
  const auto last = (end - 1) / overlay_block_bytes;
  const auto of_base = [&](std::uint64_t block) {
    return block < node.base_blocks() && !node.is_written(block);
  };
  if (offset % overlay_block_bytes != 0 && of_base(first)) PGS_CHECK(fill_from_base(node, data, first));
  const bool filled = offset % overlay_block_bytes != 0 && first == last;
  if (end % overlay_block_bytes != 0 && end < node.base_limit_bytes && of_base(last) && !filled) {
    PGS_CHECK(fill_from_base(node, data, last));
  }
  return {};
}

Result<void> Overlay::write(NodeId id, std::uint64_t offset, ByteView bytes) {
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(EISDIR, "write");
  if (bytes.empty()) return {};
  PGS_CHECK(ensure_own(node));
  const auto end = offset + bytes.size();
  std::shared_ptr<FileDescriptor> data;
  {
    const std::lock_guard lock(node->mutex);
    PGS_TRY(data, data_to_write(*node));
    PGS_CHECK(keep_edges(*node, *data, offset, end));
    node->unsynced = true;
  }
  PGS_CHECK(write_all_at(*data, offset, bytes));
  const std::lock_guard lock(node->mutex);
  const auto first = offset / overlay_block_bytes;
  node->mark_written(first, (end - 1) / overlay_block_bytes - first + 1);
  node->size_bytes = std::max(node->size_bytes, end);
  node->unsynced = true;
  return {};
}

Result<void> Overlay::resize(NodeId id, std::uint64_t size_bytes) {
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(EINVAL, "resize");
  PGS_CHECK(ensure_own(node));
  const std::lock_guard lock(node->mutex);
  PGS_TRY(const auto data, data_to_write(*node));
  if (size_bytes < node->base_limit_bytes) {
    const OverlayRecord record = LimitRecord{node->id, size_bytes};
    PGS_CHECK(log_->append(std::span(&record, 1)));
    node->base_limit_bytes = size_bytes;
    if (node->blocks.size() > node->base_blocks())
      node->blocks.resize(static_cast<std::size_t>(node->base_blocks()));
  }
  PGS_CHECK(resize_file(*data, size_bytes));
  node->size_bytes = size_bytes;
  node->unsynced = true;
  return {};
}

Result<void> Overlay::allocate(NodeId id, int mode, std::uint64_t offset, std::uint64_t size_bytes) {
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return fail_errno(EOPNOTSUPP, "allocate");
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(ENODEV, "allocate");
  PGS_CHECK(ensure_own(node));
  const std::lock_guard lock(node->mutex);
  PGS_TRY(const auto data, data_to_write(*node));
  if (::fallocate(data->get(), mode, static_cast<off_t>(offset), static_cast<off_t>(size_bytes)) != 0)
    return fail_errno(errno, "allocate");
  if (mode == 0) node->size_bytes = std::max(node->size_bytes, offset + size_bytes);
  node->unsynced = true;
  return {};
}

Result<void> Overlay::set_modified(NodeId id, Timestamp time) {
  PGS_TRY(const auto node, node_of(id));
  const std::lock_guard lock(node->mutex);
  node->modified = time;
  return {};
}

// --- reading ---

namespace {

struct Part {
  std::uint64_t offset;
  std::uint64_t size_bytes;
  bool base;
};

}  // namespace

Result<std::size_t> Overlay::read(NodeId id, std::uint64_t offset, MutableByteView into) {
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(EISDIR, "read");
  std::vector<Part> parts;
  std::uint64_t end = 0;
  bool needs_data = false;
  {
    const std::lock_guard lock(node->mutex);
    if (offset >= node->size_bytes) return std::size_t{0};
    end = std::min(offset + into.size(), node->size_bytes);
    for (auto at = offset; at < end;) {
      const auto block = at / overlay_block_bytes;
      const bool base = at < node->base_limit_bytes && !node->is_written(block);
      auto until = std::min(end, (block + 1) * overlay_block_bytes);
      if (base) until = std::min(until, node->base_limit_bytes);
      if (at >= node->base_limit_bytes) until = end;
      if (!parts.empty() && parts.back().base == base) {
        parts.back().size_bytes += until - at;
      } else {
        parts.push_back({at, until - at, base});
      }
      needs_data = needs_data || !base;
      at = until;
    }
    needs_data = needs_data && node->has_data;
  }
  std::shared_ptr<FileDescriptor> data;
  if (needs_data) {
    PGS_TRY(data, data_->open(id));
  }
  for (const auto& part : parts) {
    const auto piece = into.subspan(static_cast<std::size_t>(part.offset - offset),
                                    static_cast<std::size_t>(part.size_bytes));
    std::size_t got = 0;
    if (part.base) {
      PGS_CHECK(read_base(*node, part.offset, piece));
      got = piece.size();
    } else if (data) {
      PGS_TRY(got, read_at_most(*data, part.offset, piece));
    }
    std::ranges::fill(piece.subspan(got), std::byte{});
  }
  return static_cast<std::size_t>(end - offset);
}

// --- durability ---

Result<void> Overlay::sync(NodeId id) {
  PGS_TRY(const auto node, node_of(id));
  const std::lock_guard syncing(node->sync_mutex);
  decltype(node->unlogged) blocks;
  bool unsynced = false;
  {
    const std::lock_guard lock(node->mutex);
    if (node->failed) return fail_errno(EIO, "sync data that failed to be synced before");
    blocks.swap(node->unlogged);
    unsynced = std::exchange(node->unsynced, false);
  }
  const auto failed = [&](Error error) -> Result<void> {
    const std::lock_guard lock(node->mutex);
    node->failed = true;
    return std::unexpected(std::move(error));
  };
  if (unsynced) {
    auto data = data_->open(id);
    if (!data) return failed(std::move(data).error());
    if (auto synced = sync_file_data(**data); !synced) return failed(std::move(synced).error());
  }
  std::vector<OverlayRecord> records;
  for (const auto& [first, count] : blocks) records.push_back(BlocksRecord{id, first, count});
  if (auto logged = log_->append(records); !logged) {
    // Not lost: the next sync says so again.
    const std::lock_guard lock(node->mutex);
    node->unlogged.insert(node->unlogged.begin(), blocks.begin(), blocks.end());
    return logged;
  }
  return sync_log();
}

Result<void> Overlay::sync_log() {
  PGS_CHECK(data_->sync_names());
  return log_->sync();
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

void Overlay::clean_up(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<NodeId> dead;
    {
      std::unique_lock lock(dead_mutex_);
      if (!dead_arrived_.wait(lock, stop, [this] { return !dead_.empty(); })) return;
      dead.swap(dead_);
    }
    if (!sync_log()) continue;  // then they stay, and go when the overlay is opened again
    for (const NodeId node : dead) static_cast<void>(data_->remove(node));
  }
}

Result<Overlay::Changes> Overlay::changes(NodeId id) {
  const std::shared_lock lock(tree_mutex_);
  PGS_TRY(const auto node, get(id));
  const std::lock_guard node_lock(node->mutex);
  return Changes{node->base_path, node->base_limit_bytes, node->blocks, node->size_bytes};
}

}  // namespace pgstrata
