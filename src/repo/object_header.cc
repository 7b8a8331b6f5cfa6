#include "repo/object_header.h"

#include <algorithm>

#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::size_t checked_header_size_bytes = object_header_size_bytes - sizeof(std::uint32_t);

std::uint32_t header_checksum(ByteView header) {
  return crc32c_finish(crc32c_extend(crc32c_begin, header.first(checked_header_size_bytes)));
}

}  // namespace

ObjectHeaderBytes write_object_header(const ObjectMagic& magic, std::uint8_t kind, const ObjectId& id) {
  ByteWriter writer;
  writer.bytes(std::as_bytes(std::span(magic)));
  writer.u16(object_version);
  writer.u8(kind);
  writer.u8(0);
  writer.bytes(id);
  writer.u32(header_checksum(writer.view()));
  ObjectHeaderBytes header;
  std::ranges::copy(writer.view(), header.begin());
  return header;
}

Result<ObjectId> read_object_header(ByteView object, const ObjectMagic& magic, std::uint8_t kind,
                                    std::string_view name) {
  if (object.size() < object_header_size_bytes) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: cut short at {} bytes", name, object.size());
  }
  ByteReader reader(object.first(object_header_size_bytes));
  if (!std::ranges::equal(reader.bytes(magic.size()), std::as_bytes(std::span(magic)))) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: it does not start as such an object does", name);
  }
  const std::uint16_t version = reader.u16();
  const std::uint8_t found_kind = reader.u8();
  reader.skip(1);
  ObjectId id;
  std::ranges::copy(reader.bytes(id.size()), id.begin());
  if (reader.u32() != header_checksum(object)) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: the checksum of its header is wrong", name);
  }
  if (version > object_version) {
    return std::unexpected(make_error(ErrorCode::newer_format,
                                      "\"{}\" has format version {}, newer than the {} known here", name,
                                      version, object_version)
                               .with_hint("Upgrade pgstrata on this machine."));
  }
  if (version == 0 || found_kind != kind) {
    return fail(ErrorCode::damaged,
                "\"{}\" is damaged: it is of version {} and kind {} where kind {} is expected", name, version,
                found_kind, kind);
  }
  return id;
}

}  // namespace pgstrata
