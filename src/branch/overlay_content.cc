#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "branch/overlay_node.h"
#include "sys/files.h"

namespace pgstrata {

void Overlay::Node::touch(std::uint64_t offset, std::uint64_t end) {
  end = std::min(end, base_limit_bytes);
  if (offset >= end) return;
  const auto last = static_cast<std::size_t>((end - 1) / extent_bytes);
  if (extents.size() <= last) extents.resize(last + 1);
  for (auto extent = static_cast<std::size_t>(offset / extent_bytes); extent <= last; ++extent)
    extents[extent] = Rest::written;
}

void Overlay::Node::mark_written(std::uint64_t first, std::uint64_t count) {
  const auto end = std::min(first + count, base_blocks());
  if (first >= end) return;
  touch(first * overlay_block_bytes, end * overlay_block_bytes);
  if (blocks.size() < base_blocks()) blocks.resize(static_cast<std::size_t>(base_blocks()));
  for (auto block = first; block < end; ++block) {
    if (blocks[static_cast<std::size_t>(block)]) continue;
    blocks[static_cast<std::size_t>(block)] = true;
    add_blocks(unlogged, block, 1);
  }
}

void Overlay::Node::cut_base(std::uint64_t limit_bytes) {
  base_limit_bytes = std::min(base_limit_bytes, limit_bytes);
  if (blocks.size() > base_blocks()) blocks.resize(static_cast<std::size_t>(base_blocks()));
}

void Overlay::Node::mark_logged(const std::vector<OverlayRecord>& records) {
  for (const auto& record : records) {
    if (const auto* limit = std::get_if<LimitRecord>(&record)) logged_limit_bytes = limit->base_limit_bytes;
    const auto* run = std::get_if<BlocksRecord>(&record);
    if (run == nullptr) continue;
    if (logged.size() < run->first + run->count)
      logged.resize(static_cast<std::size_t>(run->first + run->count));
    for (auto block = run->first; block < run->first + run->count; ++block)
      logged[static_cast<std::size_t>(block)] = true;
  }
}

void Overlay::Node::unmark(const BlockRuns& runs) {
  for (const auto& [first, count] : runs) {
    for (auto block = first; block < first + count && block < blocks.size(); ++block)
      blocks[static_cast<std::size_t>(block)] = false;
  }
}

void Overlay::Node::unmark_logged(const BlockRuns& runs) {
  unmark(runs);
  for (const auto& [first, count] : runs) {
    for (auto block = first; block < first + count && block < logged.size(); ++block)
      logged[static_cast<std::size_t>(block)] = false;
  }
}

std::uint64_t Overlay::Node::written_blocks(std::uint64_t extent) const {
  if (!has_whole(extent)) return 0;
  std::uint64_t count = 0;
  for (auto block = extent * blocks_per_extent; block < (extent + 1) * blocks_per_extent; ++block)
    count += is_written(block) ? 1 : 0;
  return count;
}

PageBits Overlay::Node::written_pages(std::uint64_t extent) const {
  std::uint32_t pages = 0;
  for (std::uint64_t block = 0; block < blocks_per_extent; ++block)
    if (is_written(extent * blocks_per_extent + block)) pages |= 1U << (block / blocks_per_page);
  return static_cast<PageBits>(pages);
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
  if (node.has_data) return data_->open(node.id);
  PGS_TRY(auto data, data_->make(node.id, node.size_bytes));
  node.has_data = true;
  return data;
}

Result<BaseFile*> Overlay::base_file(Node& node) {
  {
    const std::lock_guard lock(node.mutex);
    if (node.base) return node.base.get();
  }
  PGS_TRY(auto opened, of_base(base_.open(*node.base_path)));  // without a lock: it may take its time
  const std::lock_guard lock(node.mutex);
  if (!node.base) node.base = std::move(opened);
  return node.base.get();
}

// As the base has it, but for what has settled.
Result<void> Overlay::read_base(BaseFile& base, const SettledFile* settled, std::uint64_t offset,
                                MutableByteView into) {
  if (settled == nullptr) return of_base(base.read(offset, into));
  while (!into.empty()) {
    const auto number = offset / extent_bytes;
    const auto within = static_cast<std::size_t>(offset % extent_bytes);
    const auto piece = into.first(std::min(into.size(), extent_bytes - within));
    if (const auto* extent = settled->find(number)) {
      Bytes content(extent_bytes);
      PGS_CHECK(of_base(base.read(number * extent_bytes, content)));
      PGS_CHECK(of_base(settled->apply(*extent, content)));
      std::ranges::copy(ByteView(content).subspan(within, piece.size()), piece.begin());
    } else {
      PGS_CHECK(of_base(base.read(offset, piece)));
    }
    into = into.subspan(piece.size());
    offset += piece.size();
  }
  return {};
}

// The block as the base has it, into the overlay; what is beyond the base's part is zeros there already.
Result<void> Overlay::fill_from_base(Node& node, const FileDescriptor& data, std::uint64_t block) {
  const auto start = block * overlay_block_bytes;
  Bytes content(
      static_cast<std::size_t>(std::min<std::uint64_t>(overlay_block_bytes, node.base_limit_bytes - start)));
  if (!node.base) {
    PGS_TRY(node.base, of_base(base_.open(*node.base_path)));
  }
  PGS_CHECK(read_base(*node.base, node.settled.get(), start, content));
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

// What a file was cut to must be durable before it grows again: else a crash might bring back the base's
// content behind the cut, or show the old size with zeros behind it. And so must be that the block in which the
// base ends is the overlay's: else it might be the base's up to there and a newer one behind.
Result<void> Overlay::allow_growth(const NodePtr& node, std::uint64_t end) {
  {
    const std::lock_guard lock(node->mutex);
    if (end <= node->size_bytes) return {};
    const auto last = node->base_limit_bytes / overlay_block_bytes;
    const bool shared = node->base_limit_bytes % overlay_block_bytes != 0 && !node->is_logged(last);
    if (!shared && node->base_limit_bytes == node->logged_limit_bytes) return {};
    if (shared && !node->is_written(last)) {
      PGS_TRY(const auto data, data_to_write(*node));
      PGS_CHECK(fill_from_base(*node, *data, last));
      node->mark_written(last, 1);
      node->unsynced = true;
    }
  }
  return sync_node(node);
}

Result<void> Overlay::write(NodeId id, std::uint64_t offset, ByteView bytes) {
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(EISDIR, "write");
  if (bytes.empty()) return {};
  PGS_CHECK(ensure_own(node));
  const auto end = offset + bytes.size();
  PGS_CHECK(allow_growth(node, end));
  std::shared_ptr<FileDescriptor> data;
  {
    const std::lock_guard lock(node->mutex);
    PGS_TRY(data, data_to_write(*node));
    PGS_CHECK(keep_edges(*node, *data, offset, end));
    node->unsynced = true;
    node->touch(offset, end);
    ++node->writers;
  }
  auto written = write_all_at(*data, offset, bytes);
  written_bytes_ += bytes.size();
  const std::lock_guard lock(node->mutex);
  --node->writers;
  node->unsynced = true;
  if (!written) {
    // It may have got to a part, of which the size on the disk tells.
    if (const auto now = stat_extent(*data)) node->size_bytes = std::max(node->size_bytes, now->size_bytes);
    return written;
  }
  const auto first = offset / overlay_block_bytes;
  node->mark_written(first, (end - 1) / overlay_block_bytes - first + 1);
  node->size_bytes = std::max(node->size_bytes, end);
  return {};
}

// A cut is not told to the log here: the size of the data is what tells of it, until it is synced.
Result<void> Overlay::resize(NodeId id, std::uint64_t size_bytes) {
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(EINVAL, "resize");
  PGS_CHECK(ensure_own(node));
  PGS_CHECK(allow_growth(node, size_bytes));
  const std::lock_guard lock(node->mutex);
  PGS_TRY(const auto data, data_to_write(*node));
  PGS_CHECK(resize_file(*data, size_bytes));
  node->cut_base(size_bytes);
  node->size_bytes = size_bytes;
  node->unsynced = true;
  return {};
}

Result<void> Overlay::allocate(NodeId id, int mode, std::uint64_t offset, std::uint64_t size_bytes) {
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return fail_errno(EOPNOTSUPP, "allocate");
  PGS_TRY(const auto node, node_of(id));
  if (node->kind != OverlayNodeKind::regular) return fail_errno(ENODEV, "allocate");
  PGS_CHECK(ensure_own(node));
  if (mode == 0) PGS_CHECK(allow_growth(node, offset + size_bytes));
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
  return read_node(*node, offset, into);
}

Result<std::size_t> Overlay::read_node(Node& node, std::uint64_t offset, MutableByteView into) {
  std::vector<Part> parts;
  std::uint64_t end = 0;
  bool needs_data = false;
  bool needs_base = false;
  std::shared_ptr<const SettledFile> settled;
  std::shared_lock data_stay(node.holes_mutex);
  {
    const std::lock_guard lock(node.mutex);
    if (offset >= node.size_bytes) return std::size_t{0};
    end = std::min(offset + into.size(), node.size_bytes);
    for (auto at = offset; at < end;) {
      const auto block = at / overlay_block_bytes;
      const bool base = at < node.base_limit_bytes && !node.is_written(block);
      auto until = std::min(end, (block + 1) * overlay_block_bytes);
      if (base) until = std::min(until, node.base_limit_bytes);
      if (at >= node.base_limit_bytes) until = end;
      if (!parts.empty() && parts.back().base == base) {
        parts.back().size_bytes += until - at;
      } else {
        parts.push_back({at, until - at, base});
      }
      needs_data = needs_data || !base;
      needs_base = needs_base || base;
      at = until;
    }
    needs_data = needs_data && node.has_data;
    settled = node.settled;
  }
  const auto piece_of = [&](const Part& part) {
    return into.subspan(static_cast<std::size_t>(part.offset - offset),
                        static_cast<std::size_t>(part.size_bytes));
  };
  std::shared_ptr<FileDescriptor> data;
  if (needs_data) {
    PGS_TRY(data, data_->open(node.id));
  }
  for (const auto& part : parts) {
    if (part.base) continue;
    const auto piece = piece_of(part);
    std::size_t got = 0;
    if (data) {
      PGS_TRY(got, read_at_most(*data, part.offset, piece));
    }
    std::ranges::fill(piece.subspan(got), std::byte{});
  }
  data_stay.unlock();
  BaseFile* base = nullptr;
  if (needs_base) {
    PGS_TRY(base, base_file(node));
  }
  for (const auto& part : parts)
    if (part.base) PGS_CHECK(read_base(*base, settled.get(), part.offset, piece_of(part)));
  return static_cast<std::size_t>(end - offset);
}

Result<Overlay::Changes> Overlay::changes(NodeId id) {
  const std::shared_lock lock(tree_mutex_);
  PGS_TRY(const auto node, get(id));
  const std::lock_guard node_lock(node->mutex);
  Changes changes{node->base_path, node->base_limit_bytes, node->blocks, node->size_bytes};
  if (!node->settled) return changes;
  changes.blocks.resize(static_cast<std::size_t>(node->base_blocks()));
  node->settled->for_each_page([&](std::uint64_t page) {
    for (auto block = page * blocks_per_page; block < (page + 1) * blocks_per_page; ++block)
      if (block < changes.blocks.size()) changes.blocks[static_cast<std::size_t>(block)] = true;
  });
  return changes;
}

}  // namespace pgstrata
