#include "pg/format/wal_page.h"

#include "codec/endian.h"
#include "pg/format/wal_name.h"

namespace pgstrata {
namespace {

constexpr std::uint16_t flag_first_is_continuation = 0x0001;
constexpr std::uint16_t flag_long = 0x0002;
constexpr std::uint16_t flag_overwrites_continuation = 0x0008;
constexpr std::uint16_t all_flags = 0x000F;

struct Magic {
  std::uint16_t magic;
  int major_version;
};
constexpr Magic magics[] = {{0xD106, 13}, {0xD10D, 14}, {0xD110, 15},
                            {0xD113, 16}, {0xD116, 17}, {0xD118, 18}};

}  // namespace

int wal_major_version(std::uint16_t magic) {
  for (const auto& known : magics) {
    if (known.magic == magic) return known.major_version;
  }
  return 0;
}

std::uint16_t wal_page_magic(int major_version) {
  for (const auto& known : magics) {
    if (known.major_version == major_version) return known.magic;
  }
  return 0;
}

std::size_t wal_page_header_size(ByteView start) {
  PGS_ASSERT(start.size() >= 4);
  const auto flags = load_little<std::uint16_t>(start.data() + 2);
  return (flags & flag_long) != 0 ? wal_long_page_header_size_bytes : wal_page_header_size_bytes;
}

Result<WalPageHeader> parse_wal_page_header(ByteView bytes) {
  ByteReader reader(bytes);
  WalPageHeader header;
  const auto magic = reader.u16();
  const auto flags = reader.u16();
  header.timeline.value = reader.u32();
  header.lsn.value = reader.u64();
  header.remaining_bytes = reader.u32();
  reader.skip(4);
  header.major_version = wal_major_version(magic);
  header.first_is_continuation = (flags & flag_first_is_continuation) != 0;
  header.is_long = (flags & flag_long) != 0;
  header.overwrites_continuation = (flags & flag_overwrites_continuation) != 0;
  std::uint32_t block_size_bytes = wal_page_size;
  if (header.is_long) {
    header.system_identifier.value = reader.u64();
    header.segment_size_bytes = reader.u32();
    block_size_bytes = reader.u32();
  }
  if (reader.failed()) return fail(ErrorCode::damaged, "a WAL page header is cut short");
  if (header.major_version == 0) {
    return fail(ErrorCode::damaged,
                "a WAL page has the magic number 0x{:04X}, not that of PostgreSQL 13 to 18", magic);
  }
  if ((flags & ~all_flags) != 0) return fail(ErrorCode::damaged, "a WAL page has the flags 0x{:04X}", flags);
  if (block_size_bytes != wal_page_size) {
    return fail(ErrorCode::unsupported, "WAL blocks of {} bytes are not supported", block_size_bytes);
  }
  if (header.is_long && !is_wal_segment_size(header.segment_size_bytes)) {
    return fail(ErrorCode::damaged, "a WAL page names a segment size of {}", header.segment_size_bytes);
  }
  return header;
}

}  // namespace pgstrata
