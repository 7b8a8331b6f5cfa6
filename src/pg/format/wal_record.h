// One WAL record, taken apart.
//
// Source: src/include/access/xlogrecord.h. The framing is the same from 13 to 18 but for two things: 14 added
// the block id 252 (top-level transaction id), and 15 renumbered the flags of page images when lz4 and zstd
// came.
//
//   offset size  field
//        0    4  total length, this header included
//        4    4  transaction id
//        8    8  LSN of the record before
//       16    1  info: high half the resource manager's, low half flags
//       17    1  resource manager
//       18    2  padding
//       20    4  CRC-32C of all after this header, then of the header before this field
//   then block headers and main data header, then images and data of the blocks, then main data.
//
// Pure, thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "pg/format/relation_path.h"

namespace pgstrata {

inline constexpr std::size_t wal_record_header_size_bytes = 24;
inline constexpr std::uint32_t wal_record_limit_bytes = 1U << 30U;  // no server writes longer ones
inline constexpr std::size_t wal_block_limit = 33;                  // block ids 0 to 32

// Resource managers (src/include/access/rmgrlist.h), the same from 13 to 18; 128 and up are of extensions
// (15+).
enum class Rmgr : std::uint8_t {
  xlog = 0,
  transaction = 1,
  storage = 2,
  clog = 3,
  database = 4,
  tablespace = 5,
  multixact = 6,
  relation_map = 7,
  standby = 8,
  heap2 = 9,
  heap = 10,
  btree = 11,
  hash = 12,
  gin = 13,
  gist = 14,
  sequence = 15,
  spgist = 16,
  brin = 17,
  commit_timestamp = 18,
  replication_origin = 19,
  generic = 20,
  logical_message = 21,
};
// pg_waldump's names: "Heap2"; "custom" from 128 on, "unknown" between.
[[nodiscard]] std::string_view to_string(Rmgr rmgr);

enum class ImageCompression : std::uint8_t { none, pglz, lz4, zstd };

// A whole page within a record, without its hole of zeros.
struct WalPageImage {
  ByteView bytes;  // as stored, perhaps compressed
  std::uint16_t hole_offset = 0;
  std::uint16_t hole_length = 0;
  ImageCompression compression = ImageCompression::none;
  bool applies = false;  // replay restores it; false: it is there for checking only
};

// A page that a record changes.
struct WalBlock {
  std::uint8_t id = 0;
  Fork fork = Fork::main;
  bool will_initialise = false;
  bool has_image = false;
  RelationFile relation;
  BlockNumber block;
  WalPageImage image;
  ByteView data;
};

// All views borrow the bytes it was parsed from.
struct WalRecord {
  int major_version = 0;
  Lsn start;
  Lsn end;  // where the next record may start: rounded up to 8; after a switch the next segment's start
  Lsn previous;
  Xid xid;
  Xid top_level_xid;  // when the record carries it (14+, wal_level logical)
  Rmgr rmgr = Rmgr::xlog;
  std::uint8_t info = 0;
  ByteView main_data;
  ByteView bytes;  // all of it, header included

  [[nodiscard]] std::uint8_t operation() const { return info & 0xF0U; }
  [[nodiscard]] std::span<const WalBlock> blocks() const { return {block_storage.data(), block_count}; }

  std::array<WalBlock, wal_block_limit> block_storage;  // its first block_count; read through blocks()
  std::size_t block_count = 0;
};

// The CRC over a whole record, as its header should state it. `bytes` is at least a header long.
[[nodiscard]] std::uint32_t compute_wal_record_crc(ByteView bytes);

// Takes a whole record apart, whose CRC is already known to be right; fills all but start and end.
// `into` is reused from record to record: it is large.
// Error: damaged, when the parts do not add up.
[[nodiscard]] Result<void> parse_wal_record(ByteView bytes, int major_version, WalRecord& into);

}  // namespace pgstrata
