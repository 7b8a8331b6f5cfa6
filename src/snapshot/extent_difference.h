// An extent stored as its difference from a whole one: for each page that is not the same, the two XORed.
// What did not change within a page becomes zeros, of which compression leaves nothing. Pure encoding and
// applying. Format: docs/formats/file-tree.md.
//
// The whole extent is taken as long as the content: padded with zeros, or cut. Thread-safe (no state).
#pragma once

#include <optional>

#include "snapshot/page_map.h"

namespace pgstrata {

inline constexpr std::size_t extent_difference_overhead_bytes = 3;
inline constexpr std::size_t max_extent_difference_bytes = extent_difference_overhead_bytes + extent_bytes;

// Pages of an extent, the first in the lowest bit.
using PageBits = std::uint16_t;
inline constexpr std::uint32_t pages_per_extent = extent_bytes / page_size;
static_assert(pages_per_extent == 16);
[[nodiscard]] constexpr bool holds_page(PageBits pages, std::uint32_t page) {
  return ((pages >> page) & 1U) != 0;
}

// `into` becomes `whole`, padded or cut.
void fit_whole_extent(ByteView whole, MutableByteView into);

// Writes to `into`, at least max_extent_difference_bytes long, what makes `whole` into `content` (both at
// most extent_bytes); returns its size. Nothing is returned when the two are equal, their sizes included.
[[nodiscard]] std::optional<std::size_t> encode_extent_difference(ByteView whole, ByteView content,
                                                                  MutableByteView into);

// `content` holds the whole extent, padded or cut to the size of what it is to become; returns the pages that
// the difference names. Errors: damaged (`content` is then unchanged), newer_format.
[[nodiscard]] Result<PageBits> apply_extent_difference(ByteView difference, MutableByteView content);

}  // namespace pgstrata
