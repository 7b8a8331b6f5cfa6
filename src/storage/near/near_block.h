// A block of an object as it is kept near by: a header, then the content as the store has it. Internal to the
// room. Format: docs/formats/near-cache.md.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"

namespace pgstrata {

inline constexpr std::size_t near_block_bytes = 512U << 10;  // of an object; its last may be shorter
inline constexpr std::size_t near_piece_bytes = 64U << 10;   // what has a checksum of its own
inline constexpr std::size_t near_pieces_max = near_block_bytes / near_piece_bytes;
inline constexpr std::size_t near_header_bytes = 32 + 4 * near_pieces_max;

// What a block is known by: a digest of its place, and so as good as random.
using NearBlockKey = std::array<std::byte, 16>;

// What tells an object from one that had its name before; nothing where no name comes again.
struct ObjectVersion {
  std::uint64_t size_bytes = 0;
  Timestamp modified;
};
struct NearBlockPlace {
  std::string_view object;
  ObjectVersion version;
  std::uint64_t number = 0;
};
[[nodiscard]] NearBlockKey near_block_key(const NearBlockPlace& place);

struct NearBlockHeader {
  NearBlockKey key{};
  std::uint32_t content_bytes = 0;  // fewer than near_block_bytes: the object ends with it
  std::array<std::uint32_t, near_pieces_max> checksums{};  // zero for pieces that are not there
  bool operator==(const NearBlockHeader&) const = default;
};

// Of content of at most near_block_bytes.
[[nodiscard]] NearBlockHeader near_block_header(const NearBlockKey& key, ByteView content);
[[nodiscard]] Bytes write_near_block_header(const NearBlockHeader& header);
// Of exactly near_header_bytes. Error: damaged, whatever is wrong with it.
[[nodiscard]] Result<NearBlockHeader> parse_near_block_header(ByteView bytes);
// How large piece `number` is; none at all behind the content's end.
[[nodiscard]] std::size_t near_piece_size(const NearBlockHeader& header, std::size_t number);
[[nodiscard]] std::uint32_t near_piece_checksum(ByteView piece);

}  // namespace pgstrata
