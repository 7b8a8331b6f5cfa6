// A data page of 8 KiB: its header and its checksum.
//
// Sources: src/include/storage/bufpage.h (PageHeaderData) and src/include/storage/checksum_impl.h (the
// algorithm: 32 FNV-1a derived hashes side by side, folded to 16 bits). The same from 13 to 18,
// little-endian.
//
//   offset size  field
//        0    8  LSN of the last change: high half, then low half, each 32 bits
//        8    2  checksum, 0 where the cluster has none
//       10    2  flags
//       12    2  start of free space (lower)
//       14    2  end of free space (upper)
//       16    2  start of special space
//       18    2  page size and layout version
//       20    4  oldest prunable transaction
//
// Pure functions, thread-safe.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/types.h"

namespace pgstrata {

using PageView = std::span<const std::byte, page_size>;

struct PageHeader {
  Lsn lsn;
  std::uint16_t checksum = 0;
  std::uint16_t flags = 0;
  std::uint16_t lower = 0;
  std::uint16_t upper = 0;
  std::uint16_t special = 0;
  std::uint16_t size_and_version = 0;

  // A page that was allocated and never initialised: the server neither stamps nor checks it.
  [[nodiscard]] bool is_new() const { return upper == 0; }
};

[[nodiscard]] PageHeader read_page_header(PageView page);

// Whether every byte is zero; for any length.
[[nodiscard]] bool is_all_zero(ByteView bytes);

// The checksum the server would store in this page at this block of its relation fork (counted over all
// segment files). The stored checksum is taken as zero; never 0.
[[nodiscard]] std::uint16_t compute_page_checksum(PageView page, BlockNumber block);

// True for a new page and for one whose stored checksum is right.
[[nodiscard]] bool verify_page_checksum(PageView page, BlockNumber block);

}  // namespace pgstrata
