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
#include <sys/resource.h>

#include "base/log.h"
#include "branch/overlay_node.h"
#include "codec/compression.h"
#include "codec/digest.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

// More than a checkpoint writes that takes its time: then somebody is at work, who is not to be disturbed.
constexpr std::uint64_t busy_bytes = 16U << 20;
constexpr int compression_level = 1;
// What is left to others on the disk while a settled file is written, beside its size.
constexpr std::uint64_t room_bytes_min = 16U << 20;
// An old file is not written anew for less than so much of it.
constexpr std::uint64_t share_min = 4;
// More is no gain, however little else of the extent is written.
constexpr std::uint64_t settled_extent_bytes_max = extent_bytes / 2;
// In one call, which reads of the file wait for.
constexpr std::uint64_t punched_extents_max = 128;
// For readers of a file to leave it for a moment. They go before whoever waits for all of them to be gone.
constexpr std::chrono::milliseconds patience_with_readers{100};
// For other files, of those that the process may have open.
constexpr std::uint64_t open_files_share = 4;

constexpr std::size_t runs_per_frame = 256;

std::size_t settled_files_max() {
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  return static_cast<std::size_t>((known ? limit.rlim_cur : rlim_t{1024}) / open_files_share);
}

std::unexpected<Error> called_away() {
  return fail(ErrorCode::cancelled, "called away while it settled");
}

}  // namespace

struct Overlay::Settling {
  std::vector<std::uint64_t> extents;         // that have been left alone
  std::shared_ptr<const SettledFile> before;  // what had settled
  std::shared_ptr<const SettledFile> after;   // none where nothing is to be gained
  std::vector<std::uint64_t> settled;         // of the extents
};

bool Overlay::settle_if_quiet(const std::stop_token& stop) {
  if (written_bytes_.exchange(0) > busy_bytes) return true;
  const auto settled = settle_while([&] {
    if (stop.stop_requested()) return false;
    const std::lock_guard lock(dead_mutex_);
    return dead_.empty();  // the room that these take may be waited for
  });
  if (settled || settled.error().code() == ErrorCode::cancelled) return true;
  if (!std::exchange(settling_failed_, true))
    log_warning("what a branch wrote does not settle: {}", settled.error().describe());
  return false;
}

Result<void> Overlay::settle() {
  return settle_while([] { return true; });
}

Result<void> Overlay::settle_while(const GoesOn& goes_on) {
  const std::lock_guard settling(settle_mutex_);
  if (!makes_holes_) return {};
  std::vector<NodePtr> nodes;
  {
    const auto files_max = settled_files_max();
    const std::shared_lock lock(tree_mutex_);
    auto files = std::ranges::count_if(nodes_, [](const auto& known) {
      const std::lock_guard node_lock(known.second->mutex);
      return known.second->settled != nullptr;
    });
    for (const auto& [id, node] : nodes_) {
      const std::lock_guard node_lock(node->mutex);
      if (node->links == 0 || (node->extents.empty() && node->unpunched.empty())) continue;
      // Each is open as long as the overlay is.
      if (!node->settled && static_cast<std::size_t>(files++) >= files_max) continue;
      nodes.push_back(node);
    }
  }
  Result<void> done;
  for (const auto& node : nodes) {
    if (!goes_on()) return called_away();
    if (auto settled = settle_node(node, goes_on); !settled && done) done = std::move(settled);
  }
  return done;
}

Result<void> Overlay::settle_node(const NodePtr& node, const GoesOn& goes_on) {
  Settling settling;
  {
    const std::lock_guard lock(node->mutex);
    settling.before = node->settled;
    const auto stored_bytes = settling.before ? settling.before->stored_bytes() : 0;
    settling.extents = node->take_idle(std::max(options_.settle_least_bytes, stored_bytes / share_min));
  }
  if (!settling.extents.empty()) {
    auto done = store_differences(*node, settling, goes_on);
    if (done) done = sync_node(node);  // so that the log knows what it is to forget
    if (done && settling.after) done = give_back(node, settling);
    if (!done) {
      const std::lock_guard lock(node->mutex);
      node->put_back_idle(settling.extents);
      return done;
    }
  }
  return punch(*node, goes_on);
}

// Into a settled file, with what had settled before.
Result<void> Overlay::store_differences(Node& node, Settling& settling, const GoesOn& goes_on) {
  PGS_TRY(auto* const base, base_file(node));
  Compressor compressor(compression_level);
  Bytes whole(extent_bytes);
  Bytes content(extent_bytes);
  Bytes difference(max_extent_difference_bytes);
  Bytes stored(Compressor::bound(max_extent_difference_bytes));

  // Nothing where it would not become much smaller, or somebody writes to it.
  const auto settled_extent = [&](std::uint64_t number) -> Result<std::optional<SettledExtent>> {
    const auto* before = settling.before ? settling.before->find(number) : nullptr;
    SettledExtent extent{.number = number, .pages = before != nullptr ? before->pages : PageBits{0}};
    PGS_TRY(const auto size, read_node(node, number * extent_bytes, content));
    std::uint64_t data_bytes = 0;
    {
      const std::lock_guard lock(node.mutex);
      // Else it may have been read half written.
      if (node.extents[static_cast<std::size_t>(number)] == Node::Rest::none)
        data_bytes = node.written_blocks(number) * overlay_block_bytes;
      extent.pages |= node.written_pages(number);
    }
    if (size < extent_bytes || data_bytes == 0) return std::nullopt;
    PGS_CHECK(of_base(base->read(number * extent_bytes, whole)));
    if (const auto changed = encode_extent_difference(whole, content, difference)) {
      extent.stored_size =
          static_cast<std::uint32_t>(compressor.compress(ByteView(difference).first(*changed), stored));
    }
    const auto worth_bytes = data_bytes / 2 + (before != nullptr ? before->stored_size : 0);
    if (extent.stored_size > std::min(worth_bytes, settled_extent_bytes_max)) return std::nullopt;
    extent.crc32c = crc32c_finish(crc32c_extend(crc32c_begin, content));
    return extent;
  };

  std::optional<SettledFileWriter> writer;
  const std::vector<SettledExtent> none;
  const auto& old = settling.before ? settling.before->extents() : none;
  auto next_old = old.begin();
  const auto copy_old = [&](std::uint64_t end) -> Result<void> {
    for (; next_old != old.end() && next_old->number < end; ++next_old) {
      if (!goes_on()) return called_away();
      PGS_TRY(const auto bytes, settling.before->stored(*next_old));
      PGS_CHECK(writer->add(*next_old, bytes));
    }
    return {};
  };
  for (const auto number : settling.extents) {
    if (!goes_on()) return called_away();
    const auto extent = settled_extent(number);
    if (!extent && extent.error().code() != ErrorCode::damaged) return std::unexpected(extent.error());
    if (!extent || !*extent) continue;
    if (!writer) {
      PGS_TRY(auto made, new_settled_file(node.id, settling.before.get()));
      writer.emplace(std::move(made));
    }
    PGS_CHECK(copy_old(number));
    if (next_old != old.end() && next_old->number == number) ++next_old;
    PGS_CHECK(writer->add(**extent, ByteView(stored).first((*extent)->stored_size)));
    settling.settled.push_back(number);
  }
  if (!writer) return {};
  PGS_CHECK(copy_old(UINT64_MAX));
  PGS_CHECK(data_->sync_names());  // no crash leaves it without its data
  PGS_TRY(settling.after, writer->commit());
  return {};
}

Result<SettledFileWriter> Overlay::new_settled_file(NodeId node, const SettledFile* before) const {
  const auto path = settled_path(node);
  PGS_CHECK(durable_make_directories(path.parent_path()));
  PGS_TRY(const auto room, free_space_bytes(folder_));
  if (room < room_bytes_min + (before != nullptr ? before->stored_bytes() : 0))
    return fail(ErrorCode::no_space, "\"{}\" has {} bytes left", folder_.native(), room);
  return SettledFileWriter::create(path, before != nullptr ? before->serial() + 1 : 1);
}

Result<void> Overlay::give_back(const NodePtr& node, const Settling& settling) {
  {
    // Against one who compacts the log: he must see both or none.
    const std::shared_lock tree(tree_mutex_);
    if (!nodes_.contains(node->id)) return {};  // its files go with it
    const std::lock_guard lock(node->mutex);
    if (node->failed) return {};
    node->settled = settling.after;
    auto runs = node->runs_left_alone(settling.settled);
    while (!runs.empty()) {
      const auto begin = runs.end() - static_cast<std::ptrdiff_t>(std::min(runs.size(), runs_per_frame));
      const BlockRuns told(begin, runs.end());
      std::vector<OverlayRecord> records;
      for (const auto& [first, count] : told)
        records.push_back(SettledRecord{node->id, settling.after->serial(), first, count});
      // What the log was told holds here as well, also when it takes no more after that.
      PGS_CHECK(log_->append(records));
      node->unmark_logged(told);
      runs.erase(begin, runs.end());
    }
  }
  PGS_CHECK(sync_log());
  node->unpunched.insert(settling.settled.begin(), settling.settled.end());
  return {};
}

Result<void> Overlay::punch(Node& node, const GoesOn& goes_on) {
  if (node.unpunched.empty()) return {};
  PGS_TRY(const auto data, data_->open(node.id));
  while (!node.unpunched.empty()) {
    if (!goes_on()) return called_away();
    const std::unique_lock holes(node.holes_mutex, patience_with_readers);
    if (!holes) return {};  // next time
    const std::lock_guard lock(node.mutex);
    const auto first = *node.unpunched.begin();
    auto end = first;
    auto behind = node.unpunched.begin();
    while (behind != node.unpunched.end() && *behind == end && end < first + punched_extents_max &&
           node.is_of_base(end)) {
      ++behind;
      ++end;
    }
    if (end == first) {  // some of it is the overlay's again, or about to be
      node.unpunched.erase(behind);
      continue;
    }
    if (::fallocate(data->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(first * extent_bytes),
                    static_cast<off_t>((end - first) * extent_bytes)) != 0) {
      makes_holes_ = errno != EOPNOTSUPP;
      return fail_errno(errno, "give back the room of what has settled");
    }
    node.unpunched.erase(node.unpunched.begin(), behind);
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
BlockRuns Overlay::Node::runs_left_alone(const std::vector<std::uint64_t>& settled_extents) const {
  BlockRuns runs;
  for (const auto extent : settled_extents) {
    if (extents[static_cast<std::size_t>(extent)] != Rest::none || written_blocks(extent) == 0) continue;
    for (auto block = extent * blocks_per_extent; block < (extent + 1) * blocks_per_extent; ++block) {
      if (is_written(block)) add_blocks(runs, block, 1);
    }
  }
  return runs;
}

bool Overlay::Node::is_of_base(std::uint64_t extent) const {
  const bool left_alone = extent >= extents.size() || extents[static_cast<std::size_t>(extent)] == Rest::none;
  return left_alone && has_whole(extent) && written_blocks(extent) == 0;
}

}  // namespace pgstrata
