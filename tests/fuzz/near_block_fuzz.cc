// The header of a block that is kept near: as it comes, and with its checksum put right.
#include <algorithm>

#include "codec/endian.h"
#include "storage/near/near_block.h"

using namespace pgstrata;

// What can be read can be written, and is the same.
static void check(ByteView bytes) {
  const auto header = parse_near_block_header(bytes);
  if (!header) return;
  PGS_ASSERT(std::ranges::equal(write_near_block_header(*header), bytes));
  std::size_t whole = 0;
  for (std::size_t number = 0; number <= near_pieces_max; ++number) whole += near_piece_size(*header, number);
  PGS_ASSERT(whole == header->content_bytes && whole <= near_block_bytes);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check(bytes);
  if (size < 4) return 0;
  ByteWriter right;
  right.bytes(bytes.first(size - 4));
  right.u32(near_piece_checksum(bytes.first(size - 4)));
  check(right.view());
  return 0;
}
