// What an overlay wrote and then left alone becomes a difference from the base.
//
// For a file: (1) what its extents hold now, as differences, in a settled file that takes the place of the last;
// (2) the log is told that their blocks are the base's again; (3) the blocks become holes. Each is durable before
// the next. A block that is the overlay's is read from its data whatever has settled, and one that is not was the
// same before and after (1): so a crash between any two of them shows what was there. Extents that are written to
// meanwhile stay as they are.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "base/log.h"
#include "branch/overlay_node.h"
#include "codec/compression.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

// More than a checkpoint writes that takes its time: then somebody is at work, who is not to be disturbed.
constexpr std::uint64_t busy_bytes = 16U << 20;
constexpr int compression_level = 1;

}  // namespace

struct Overlay::Settling {
  std::vector<std::uint64_t> extents;         // that have been left alone
  std::shared_ptr<const SettledFile> before;  // what had settled
  std::shared_ptr<const SettledFile> after;
  std::vector<std::uint64_t> settled;  // of the extents; the others would not become much smaller
};

void Overlay::settle_if_quiet(const std::stop_token& stop) {
  if (written_bytes_.exchange(0) > busy_bytes) return;
  const auto settled = settle(stop);
  if (!settled && settles_ && settled.error().code() != ErrorCode::cancelled)
    log_warning("what a branch wrote does not settle: {}", settled.error().describe());
  settles_ = settled.has_value();
}

Result<void> Overlay::settle(const std::stop_token& stop) {
  const std::lock_guard settling(settle_mutex_);
  std::vector<NodePtr> nodes;
  {
    const std::shared_lock lock(tree_mutex_);
    for (const auto& [id, node] : nodes_) {
      const std::lock_guard node_lock(node->mutex);
      if (!node->extents.empty() && node->links != 0) nodes.push_back(node);
    }
  }
  Result<void> done;
  for (const auto& node : nodes) {
    if (auto settled = settle_node(node, stop); !settled && done) done = std::move(settled);
  }
  return done;
}

Result<void> Overlay::settle_node(const NodePtr& node, const std::stop_token& stop) {
  Settling settling;
  {
    const std::lock_guard lock(node->mutex);
    settling.extents = node->take_idle(options_.settle_least_bytes);
    settling.before = node->settled;
  }
  if (settling.extents.empty()) return {};
  auto done = store_differences(*node, settling, stop);
  if (done) done = sync_node(node);  // so that the log knows what it is to forget
  if (done && settling.after) done = give_back(node, settling);
  if (done) return {};
  const std::lock_guard lock(node->mutex);
  node->put_back_idle(settling.extents);
  return done;
}

// Into a settled file, with what had settled before. None where nothing is to be gained.
Result<void> Overlay::store_differences(Node& node, Settling& settling, const std::stop_token& stop) {
  PGS_TRY(auto* const base, base_file(node));
  PGS_CHECK(make_directories(settled_path(node.id).parent_path()));
  PGS_TRY(auto writer, SettledFileWriter::create(settled_path(node.id),
                                                 settling.before ? settling.before->serial() + 1 : 1));
  Compressor compressor(compression_level);
  Bytes whole(extent_bytes);
  Bytes content(extent_bytes);
  Bytes difference(max_extent_difference_bytes);
  Bytes stored(Compressor::bound(max_extent_difference_bytes));

  const auto keep = [&](const SettledExtent& extent) -> Result<void> {
    PGS_TRY(const auto bytes, settling.before->stored(extent));
    return writer.add(extent.number, extent.pages, bytes);
  };
  const auto settle_extent = [&](std::uint64_t number, const SettledExtent* before) -> Result<void> {
    const auto as_before = [&] { return before != nullptr ? keep(*before) : Result<void>(); };
    PGS_TRY(const auto size, read_node(node, number * extent_bytes, content));
    std::uint64_t data_bytes = 0;
    PageBits pages = before != nullptr ? before->pages : PageBits{0};
    {
      const std::lock_guard lock(node.mutex);
      // Else somebody writes to it, and it may have been read half written.
      if (node.extents[static_cast<std::size_t>(number)] == Node::Rest::none)
        data_bytes = node.written_blocks(number) * overlay_block_bytes;
      pages |= node.written_pages(number);
    }
    if (size < extent_bytes || data_bytes == 0) return as_before();
    PGS_CHECK(of_base(base->read(number * extent_bytes, whole)));
    const auto changed = encode_extent_difference(whole, content, difference);
    const auto stored_size = changed ? compressor.compress(ByteView(difference).first(*changed), stored) : 0;
    if (stored_size > data_bytes / 2) return as_before();
    settling.settled.push_back(number);
    return writer.add(number, pages, ByteView(stored).first(stored_size));
  };

  auto next = settling.extents.begin();
  const auto settle_up_to = [&](std::uint64_t end) -> Result<void> {
    for (; next != settling.extents.end() && *next < end; ++next) {
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "told to stop");
      PGS_CHECK(settle_extent(*next, nullptr));
    }
    return {};
  };
  if (settling.before) {
    for (const auto& extent : settling.before->extents()) {
      PGS_CHECK(settle_up_to(extent.number));
      if (next != settling.extents.end() && *next == extent.number) {
        PGS_CHECK(settle_extent(*next++, &extent));
      } else {
        PGS_CHECK(keep(extent));
      }
    }
  }
  PGS_CHECK(settle_up_to(UINT64_MAX));
  if (settling.settled.empty()) return {};
  PGS_TRY(settling.after, writer.commit());
  return {};
}

Result<void> Overlay::give_back(const NodePtr& node, const Settling& settling) {
  {
    // Against one who compacts the log: he must see both or none.
    const std::shared_lock tree(tree_mutex_);
    if (!nodes_.contains(node->id)) return {};  // its files go with it
    const std::lock_guard lock(node->mutex);
    node->settled = settling.after;
    if (node->failed) return {};
    const auto runs = node->runs_left_alone(settling.settled);
    std::vector<OverlayRecord> records;
    for (const auto& [first, count] : runs)
      records.push_back(SettledRecord{node->id, settling.after->serial(), first, count});
    if (records.empty()) return {};
    PGS_CHECK(log_->append(records));
    node->settled_serial = settling.after->serial();
    node->unmark(runs);
    for (const auto& [first, count] : runs) {
      for (auto block = first; block < first + count && block < node->logged.size(); ++block)
        node->logged[static_cast<std::size_t>(block)] = false;
    }
  }
  PGS_CHECK(sync_log());
  return punch(*node, settling.settled);
}

Result<void> Overlay::punch(Node& node, const std::vector<std::uint64_t>& extents) {
  PGS_TRY(const auto data, data_->open(node.id));
  for (const auto extent : extents) {
    const std::lock_guard lock(node.mutex);
    if (!node.is_of_base(extent)) continue;  // some of it is the overlay's again, or about to be
    ++node.punches;
    if (::fallocate(data->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(extent * extent_bytes), extent_bytes) != 0)
      return fail_errno(errno, "give back the room of what has settled");
  }
  return {};
}

// --- what a node knows of it; its mutex is held ---

// The extents that were left alone since the last call; none while they are few, or somebody writes.
std::vector<std::uint64_t> Overlay::Node::take_idle(std::uint64_t least_bytes) {
  std::vector<std::uint64_t> idle;
  if (failed || writers != 0) return idle;
  std::uint64_t bytes = 0;
  for (std::uint64_t extent = 0; extent < extents.size(); ++extent) {
    if (extents[static_cast<std::size_t>(extent)] != Rest::idle) continue;
    bytes += written_blocks(extent) * overlay_block_bytes;
    idle.push_back(extent);
  }
  if (bytes < std::max<std::uint64_t>(least_bytes, 1)) idle.clear();
  for (const auto extent : idle) extents[static_cast<std::size_t>(extent)] = Rest::none;
  for (auto& rest : extents)
    if (rest == Rest::written) rest = Rest::idle;
  return idle;
}

void Overlay::Node::put_back_idle(const std::vector<std::uint64_t>& idle) {
  for (const auto extent : idle) {
    auto& rest = extents[static_cast<std::size_t>(extent)];
    if (rest == Rest::none) rest = Rest::idle;
  }
}

// Runs of written blocks in those of these extents that nobody has written to since.
Overlay::Runs Overlay::Node::runs_left_alone(const std::vector<std::uint64_t>& settled_extents) const {
  Runs runs;
  for (const auto extent : settled_extents) {
    if (extents[static_cast<std::size_t>(extent)] != Rest::none || written_blocks(extent) == 0) continue;
    for (auto block = extent * blocks_per_extent; block < (extent + 1) * blocks_per_extent; ++block) {
      if (!is_written(block)) continue;
      if (!runs.empty() && runs.back().first + runs.back().second == block) {
        ++runs.back().second;
      } else {
        runs.emplace_back(block, 1);
      }
    }
  }
  return runs;
}

bool Overlay::Node::is_of_base(std::uint64_t extent) const {
  return has_whole(extent) && extents[static_cast<std::size_t>(extent)] == Rest::none &&
         written_blocks(extent) == 0;
}

}  // namespace pgstrata
