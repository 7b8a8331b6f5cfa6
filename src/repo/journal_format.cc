#include "repo/journal_format.h"

#include <algorithm>

#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::string_view magic = "PGSF";
constexpr std::size_t checked_frame_size_bytes = frame_header_size_bytes - sizeof(std::uint32_t);

std::uint32_t frame_checksum(ByteView header) {
  return crc32c_finish(crc32c_extend(crc32c_begin, header.first(checked_frame_size_bytes)));
}

}  // namespace

ByteView frame_magic() {
  return as_byte_view(magic);
}

FrameHeaderBytes write_frame_header(const FrameHeader& header) {
  ByteWriter writer;
  writer.bytes(frame_magic());
  writer.u32(header.number);
  writer.u32(header.length);
  writer.u32(header.durable);
  writer.u32(frame_checksum(writer.view()));
  FrameHeaderBytes bytes;
  std::ranges::copy(writer.view(), bytes.begin());
  return bytes;
}

std::optional<FrameHeader> parse_frame_header(ByteView bytes) {
  if (bytes.size() < frame_header_size_bytes) return std::nullopt;
  ByteReader reader(bytes);
  if (!std::ranges::equal(reader.bytes(magic.size()), frame_magic())) return std::nullopt;
  FrameHeader header;
  header.number = reader.u32();
  header.length = reader.u32();
  header.durable = reader.u32();
  if (reader.u32() != frame_checksum(bytes)) return std::nullopt;
  if (header.length > max_frame_size_bytes || header.durable > header.number) return std::nullopt;
  return header;
}

FrameBinding::FrameBinding(ByteView journal_header, std::string_view name)
    : bytes_(object_header_size_bytes + sizeof(std::uint64_t) + frame_header_size_bytes) {
  std::ranges::copy(journal_header.first(object_header_size_bytes), bytes_.begin());
  append(bytes_, as_byte_view(name));
}

ByteView FrameBinding::at(std::uint64_t offset, ByteView frame_header) {
  const MutableByteView place = MutableByteView(bytes_).subspan(object_header_size_bytes);
  for (std::size_t i = 0; i < sizeof offset; ++i) place[i] = static_cast<std::byte>(offset >> (8 * i));
  std::ranges::copy(frame_header.first(frame_header_size_bytes), place.begin() + sizeof offset);
  return bytes_;
}

}  // namespace pgstrata
