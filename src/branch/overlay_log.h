// The overlay's log: which names, which nodes, and which blocks of base files were written, in the order in
// which it happened. What is in it and synced survives; what was appended after that may be lost from its
// end, never in its middle: that is damage. Format: docs/formats/overlay.md.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "branch/overlay_durability.h"
#include "sys/file_descriptor.h"

namespace pgstrata {

using NodeId = std::uint64_t;
inline constexpr NodeId root_node = 1;

enum class OverlayNodeKind : std::uint8_t { regular = 1, directory = 2, symbolic_link = 3 };

// Blocks of a file: the first of each run, and how many.
using BlockRuns = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
// Those behind all others, to the last run where they follow it.
inline void add_blocks(BlockRuns& runs, std::uint64_t first, std::uint64_t count) {
  if (!runs.empty() && runs.back().first + runs.back().second == first) {
    runs.back().second += count;
  } else {
    runs.emplace_back(first, count);
  }
}

// A node begins to be the overlay's own: it was made, or it is of the base and about to be changed.
struct NodeRecord {
  NodeId node = 0;
  OverlayNodeKind kind = OverlayNodeKind::regular;
  std::uint32_t mode = 0;
  std::optional<std::string> base_path;  // where the base has it
  std::uint64_t base_limit_bytes = 0;    // of a regular file: how much of its beginning is the base's
  std::string link_target;               // of a symbolic link
};
// A name leads to a node from now on; to none: it hides what the base has there.
struct NameRecord {
  NodeId folder = 0;
  std::string name;
  NodeId node = 0;
};
// A name is as if the overlay had never spoken of it.
struct ForgottenNameRecord {
  NodeId folder = 0;
  std::string name;
};
struct ModeRecord {
  NodeId node = 0;
  std::uint32_t mode = 0;
};
// The base's content from here on is gone.
struct LimitRecord {
  NodeId node = 0;
  std::uint64_t base_limit_bytes = 0;
};
// These blocks are read from the overlay's data from now on.
struct BlocksRecord {
  NodeId node = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
// These blocks are read from the base and the node's settled file from now on, which has this serial number or a
// higher one.
struct SettledRecord {
  NodeId node = 0;
  std::uint64_t serial = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
using OverlayRecord = std::variant<NodeRecord, NameRecord, ForgottenNameRecord, ModeRecord, LimitRecord,
                                   BlocksRecord, SettledRecord>;

// It tells as well that so many bytes of the log are durable, where that is not 0.
[[nodiscard]] Bytes encode_overlay_frame(std::span<const OverlayRecord> records,
                                         std::uint64_t durable_bytes = 0);

// The frames of a log, up to the first that is not whole: whatever a crash left behind that one. Errors:
// damaged (no overlay's log; a whole frame that makes no sense; one that is not whole where a later one tells
// that it was durable); newer_format.
struct ReadOverlayLog {
  std::vector<OverlayRecord> records;
  std::uint64_t whole_bytes = 0;
};
[[nodiscard]] Result<ReadOverlayLog> read_overlay_log(ByteView bytes);

// Thread-safe.
class OverlayLog {
 public:
  // Replaces the log by one of these records alone, durably; "durable" here and below means as `durability`
  // says.
  static Result<std::unique_ptr<OverlayLog>> rewrite(const std::filesystem::path& path,
                                                     std::span<const OverlayRecord> records,
                                                     Durability durability = Durability::kept);

  // All of them or none. Not durable before sync. It keeps room ahead on the disk, so that a full one still
  // lets files be removed. Once a sync has failed, or a frame is there in part, it takes nothing more.
  Result<void> append(std::span<const OverlayRecord> records);
  // All that was appended before is durable when it returns.
  Result<void> sync();
  [[nodiscard]] std::uint64_t size_bytes() const;

  // Puts `records`, which say the same in fewer words, in the place of all that was appended while it had no
  // more than `since` bytes. What came after that goes on behind them; only for that do others wait. Durable
  // when it returns; after an error it goes on as it was.
  Result<void> compact(std::span<const OverlayRecord> records, std::uint64_t since);

 private:
  OverlayLog(std::filesystem::path path, FileDescriptor file, std::uint64_t size_bytes, Durability durability)
      : path_(std::move(path)),
        durability_(durability),
        file_(std::move(file)),
        size_bytes_(size_bytes),
        synced_bytes_(size_bytes) {}
  void keep_room();  // mutex_ held
  Result<void> move_to(FileDescriptor file, std::uint64_t size_bytes,
                       std::uint64_t since);  // both mutexes held

  const std::filesystem::path path_;
  const Durability durability_;
  FileDescriptor file_;       // replaced under both mutexes
  mutable std::mutex mutex_;  // guards what follows; taken after sync_mutex_
  std::uint64_t size_bytes_;
  std::uint64_t room_bytes_ = 0;  // up to where the disk is allocated
  bool failed_ = false;
  std::uint64_t told_bytes_ = 0;             // the last frame to tell what is durable told of so much
  std::mutex sync_mutex_;                    // one sync at a time serves all that waited for it
  std::atomic<std::uint64_t> synced_bytes_;  // changed under sync_mutex_
};

}  // namespace pgstrata
