#include "pg/format/wal_record.h"

#include "codec/digest.h"
#include "pg/format/wal_fields.h"

namespace pgstrata {
namespace {

constexpr std::uint8_t last_block_id = 32;
constexpr std::uint8_t id_top_level_xid = 252;
constexpr std::uint8_t id_origin = 253;
constexpr std::uint8_t id_data_long = 254;
constexpr std::uint8_t id_data_short = 255;

constexpr std::uint8_t fork_mask = 0x0F;
constexpr std::uint8_t block_has_image = 0x10;
constexpr std::uint8_t block_has_data = 0x20;
constexpr std::uint8_t block_will_initialise = 0x40;
constexpr std::uint8_t block_same_relation = 0x80;

constexpr std::size_t record_crc_offset = 20;

struct ImageInfo {
  bool has_hole;
  bool applies;
  ImageCompression compression;
};

Result<ImageInfo> image_info(std::uint8_t flags, int major_version) {
  if (major_version < 15) {
    return ImageInfo{(flags & 0x01U) != 0, (flags & 0x04U) != 0,
                     (flags & 0x02U) != 0 ? ImageCompression::pglz : ImageCompression::none};
  }
  const ImageInfo info{(flags & 0x01U) != 0, (flags & 0x02U) != 0, ImageCompression::none};
  switch (flags & 0x1CU) {
    case 0x00:
      return info;
    case 0x04:
      return ImageInfo{info.has_hole, info.applies, ImageCompression::pglz};
    case 0x08:
      return ImageInfo{info.has_hole, info.applies, ImageCompression::lz4};
    case 0x10:
      return ImageInfo{info.has_hole, info.applies, ImageCompression::zstd};
    default:
      return fail(ErrorCode::damaged, "a page image has the flags 0x{:02X}", flags);
  }
}

Result<std::size_t> read_image_header(ByteReader& reader, int major_version, WalPageImage& image) {
  const std::size_t length = reader.u16();
  image.hole_offset = reader.u16();
  PGS_TRY(const ImageInfo info, image_info(reader.u8(), major_version));
  image.applies = info.applies;
  image.compression = info.compression;
  image.hole_length = 0;
  if (info.compression != ImageCompression::none) {
    if (info.has_hole) image.hole_length = reader.u16();
  } else if (length <= page_size) {
    image.hole_length = static_cast<std::uint16_t>(page_size - length);
  }
  const bool fits = info.compression == ImageCompression::none ? length + image.hole_length == page_size
                                                               : length < page_size;
  if (!fits || image.hole_offset + image.hole_length > static_cast<int>(page_size) ||
      (!info.has_hole && (image.hole_offset != 0 || image.hole_length != 0))) {
    return fail(ErrorCode::damaged, "a page image has a wrong length or hole");
  }
  return length;
}

// Lengths of what follows the headers, in the order in which it follows.
struct Lengths {
  std::array<std::uint16_t, wal_block_limit> image;
  std::array<std::uint16_t, wal_block_limit> data;
  std::uint32_t main = 0;
  std::size_t total = 0;
};

Result<void> read_block_header(ByteReader& reader, std::uint8_t id, WalRecord& into, Lengths& lengths) {
  const std::size_t index = into.block_count;
  if (index != 0 && id <= into.block_storage[index - 1].id) {
    return fail(ErrorCode::damaged, "block {} is out of order", id);
  }
  WalBlock& block = into.block_storage[index];
  const std::uint8_t flags = reader.u8();
  if ((flags & fork_mask) >= fork_count) return fail(ErrorCode::damaged, "block {} is of no known fork", id);
  block.id = id;
  block.fork = static_cast<Fork>(flags & fork_mask);
  block.will_initialise = (flags & block_will_initialise) != 0;
  block.has_image = (flags & block_has_image) != 0;
  lengths.data[index] = reader.u16();
  if (((flags & block_has_data) != 0) != (lengths.data[index] != 0)) {
    return fail(ErrorCode::damaged, "block {} contradicts itself about its data", id);
  }
  lengths.image[index] = 0;
  if (block.has_image) {
    PGS_TRY(const std::size_t length, read_image_header(reader, into.major_version, block.image));
    lengths.image[index] = static_cast<std::uint16_t>(length);
  } else {
    block.image = {};
  }
  if ((flags & block_same_relation) == 0) {
    block.relation = read_relation_file(reader);
  } else if (index != 0) {
    block.relation = into.block_storage[index - 1].relation;
  } else {
    return fail(ErrorCode::damaged, "block {} refers to a relation before it, and there is none", id);
  }
  block.block.value = reader.u32();
  lengths.total += lengths.data[index] + lengths.image[index];
  ++into.block_count;
  return {};
}

// Headers end where what they announce makes up the rest.
Result<void> read_headers(ByteReader& reader, WalRecord& into, Lengths& lengths) {
  bool have_main = false;
  while (!have_main && reader.remaining() > lengths.total) {
    const std::uint8_t id = reader.u8();
    if (id <= last_block_id) {
      PGS_CHECK(read_block_header(reader, id, into, lengths));
    } else if (id == id_data_short || id == id_data_long) {
      lengths.main = id == id_data_short ? reader.u8() : reader.u32();
      lengths.total += lengths.main;
      have_main = true;
    } else if (id == id_origin) {
      reader.skip(2);
    } else if (id == id_top_level_xid) {
      into.top_level_xid.value = reader.u32();
    } else {
      return fail(ErrorCode::damaged, "a part of it has the id {}", id);
    }
  }
  if (reader.failed() || reader.remaining() != lengths.total) {
    return fail(ErrorCode::damaged, "its parts do not make up its length");
  }
  return {};
}

}  // namespace

std::string_view to_string(Rmgr rmgr) {
  static constexpr std::string_view names[] = {"XLOG",     "Transaction",   "Storage",   "CLOG",
                                               "Database", "Tablespace",    "MultiXact", "RelMap",
                                               "Standby",  "Heap2",         "Heap",      "Btree",
                                               "Hash",     "Gin",           "Gist",      "Sequence",
                                               "SPGist",   "BRIN",          "CommitTs",  "ReplicationOrigin",
                                               "Generic",  "LogicalMessage"};
  const auto id = static_cast<std::size_t>(rmgr);
  if (id < std::size(names)) return names[id];
  return id >= 128 ? "custom" : "unknown";
}

std::uint32_t compute_wal_record_crc(ByteView bytes) {
  std::uint32_t crc = crc32c_extend(crc32c_begin, bytes.subspan(wal_record_header_size_bytes));
  crc = crc32c_extend(crc, bytes.first(record_crc_offset));
  return crc32c_finish(crc);
}

Result<void> parse_wal_record(ByteView bytes, int major_version, WalRecord& into) {
  if (bytes.size() < wal_record_header_size_bytes ||
      load_little<std::uint32_t>(bytes.data()) != bytes.size()) {
    return fail(ErrorCode::damaged, "its length is not that of its bytes");
  }
  into.major_version = major_version;
  into.bytes = bytes;
  into.xid.value = load_little<std::uint32_t>(bytes.data() + 4);
  into.previous.value = load_little<std::uint64_t>(bytes.data() + 8);
  into.info = load_little<std::uint8_t>(bytes.data() + 16);
  into.rmgr = static_cast<Rmgr>(load_little<std::uint8_t>(bytes.data() + 17));
  into.top_level_xid = {};
  into.block_count = 0;

  ByteReader reader(bytes.subspan(wal_record_header_size_bytes));
  Lengths lengths;
  PGS_CHECK(read_headers(reader, into, lengths));
  for (std::size_t i = 0; i < into.block_count; ++i) {
    WalBlock& block = into.block_storage[i];
    block.image.bytes = reader.bytes(lengths.image[i]);
    block.data = reader.bytes(lengths.data[i]);
  }
  into.main_data = reader.bytes(lengths.main);
  return {};
}

}  // namespace pgstrata
