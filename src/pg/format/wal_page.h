// The header of a WAL page, 8 KiB each.
//
// Source: src/include/access/xlog_internal.h (XLogPageHeaderData, XLogLongPageHeaderData). The layout is the
// same from 13 to 18; the magic number tells the major version.
//
//   offset size  field
//        0    2  magic: 0xD106 13, 0xD10D 14, 0xD110 15, 0xD113 16, 0xD116 17, 0xD118 18
//        2    2  flags
//        4    4  timeline of the page's first record
//        8    8  LSN of the page
//       16    4  bytes of a record begun before that are still to come, this page's included
//       20    4  padding
//   and in the first page of a segment (flag 0x0002):
//       24    8  system identifier
//       32    4  segment size
//       36    4  WAL block size
//
// Pure, thread-safe.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

inline constexpr std::uint32_t wal_page_size = 8192;
inline constexpr std::size_t wal_page_header_size_bytes = 24;
inline constexpr std::size_t wal_long_page_header_size_bytes = 40;

// 0 when the magic is of no supported version.
[[nodiscard]] int wal_major_version(std::uint16_t magic);
[[nodiscard]] std::uint16_t wal_page_magic(int major_version);

struct WalPageHeader {
  int major_version = 0;
  bool first_is_continuation = false;  // the page begins within a record
  bool is_long = false;
  bool overwrites_continuation = false;  // the record before was never finished and is void
  TimelineId timeline;
  Lsn lsn;
  std::uint32_t remaining_bytes = 0;
  // Of a long header.
  SystemIdentifier system_identifier;
  std::uint32_t segment_size_bytes = 0;

  [[nodiscard]] std::size_t size_bytes() const {
    return is_long ? wal_long_page_header_size_bytes : wal_page_header_size_bytes;
  }
};

// How long the header is that begins with these (at least four) bytes.
[[nodiscard]] std::size_t wal_page_header_size(ByteView start);

// `bytes` holds wal_page_header_size of them.
// Errors: damaged, for an unknown magic, flags or contradictions within; unsupported, for WAL blocks of
// another size.
[[nodiscard]] Result<WalPageHeader> parse_wal_page_header(ByteView bytes);

}  // namespace pgstrata
