#include "storage/near/near_block.h"

#include <algorithm>

#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t near_magic = 0x4E534750;  // "PGSN"
constexpr std::uint32_t near_version = 1;
constexpr std::size_t checksum_bytes = 4;

}  // namespace

NearBlockKey near_block_key(const NearBlockPlace& place) {
  ByteWriter text;
  text.text(place.object);
  text.u64(place.version.size_bytes);
  text.u64(static_cast<std::uint64_t>(place.version.modified.micros));
  text.u64(place.number);
  NearBlockKey key{};
  std::ranges::copy(ByteView(sha256(text.view())).first(key.size()), key.begin());
  return key;
}

std::uint32_t near_piece_checksum(ByteView piece) {
  return crc32c_finish(crc32c_extend(crc32c_begin, piece));
}

std::size_t near_piece_size(const NearBlockHeader& header, std::size_t number) {
  const std::size_t before = number * near_piece_bytes;
  if (before >= header.content_bytes) return 0;
  return std::min(near_piece_bytes, header.content_bytes - before);
}

NearBlockHeader near_block_header(const NearBlockKey& key, ByteView content) {
  PGS_ASSERT(content.size() <= near_block_bytes);
  NearBlockHeader header{
      .key = key, .content_bytes = static_cast<std::uint32_t>(content.size()), .checksums = {}};
  for (std::size_t number = 0; near_piece_size(header, number) != 0; ++number) {
    header.checksums[number] =
        near_piece_checksum(content.subspan(number * near_piece_bytes, near_piece_size(header, number)));
  }
  return header;
}

Bytes write_near_block_header(const NearBlockHeader& header) {
  ByteWriter bytes;
  bytes.u32(near_magic);
  bytes.u32(near_version);
  bytes.bytes(header.key);
  bytes.u32(header.content_bytes);
  for (const std::uint32_t checksum : header.checksums) bytes.u32(checksum);
  bytes.u32(near_piece_checksum(bytes.view()));
  return bytes.take();
}

Result<NearBlockHeader> parse_near_block_header(ByteView bytes) {
  ByteReader reader(bytes);
  const std::uint32_t magic = reader.u32();
  const std::uint32_t version = reader.u32();
  NearBlockHeader header;
  const ByteView key = reader.bytes(header.key.size());
  header.content_bytes = reader.u32();
  for (std::uint32_t& checksum : header.checksums) checksum = reader.u32();
  const std::uint32_t checksum = reader.u32();
  if (!reader.finished())
    return fail(ErrorCode::damaged, "a block's header is no {} bytes", near_header_bytes);
  if (magic != near_magic || version != near_version)
    return fail(ErrorCode::damaged, "no block of version {}", near_version);
  if (checksum != near_piece_checksum(bytes.first(bytes.size() - checksum_bytes)))
    return fail(ErrorCode::damaged, "a block's header has another checksum");
  if (header.content_bytes > near_block_bytes)
    return fail(ErrorCode::damaged, "a block cannot have {} bytes", header.content_bytes);
  std::ranges::copy(key, header.key.begin());
  for (std::size_t number = 0; number < near_pieces_max; ++number) {
    if (near_piece_size(header, number) == 0 && header.checksums[number] != 0)
      return fail(ErrorCode::damaged, "a block has a checksum of a piece that is not there");
  }
  return header;
}

}  // namespace pgstrata
