// WAL: single records straight into the parser and its interpretation; and streams, whose page headers and
// CRCs are put right first, whole and in pieces.
//
// The first byte chooses: bit 7 a single record, bits 0 to 2 the major version.
#include <cstring>
#include <string>

#include "base/assert.h"
#include "codec/endian.h"
#include "pg/format/wal_index.h"

using namespace pgstrata;

namespace {

constexpr std::uint32_t segment_size = 1U << 20U;
constexpr Lsn start{segment_size};

void store(Bytes& bytes, std::size_t at, auto value) {
  if (at + sizeof value <= bytes.size()) std::memcpy(bytes.data() + at, &value, sizeof value);
}

void read_single(Bytes bytes, int major_version) {
  store(bytes, 0, static_cast<std::uint32_t>(bytes.size()));
  WalRecord record;
  if (!parse_wal_record(bytes, major_version, record)) return;
  WalIndexBuilder builder(start);
  (void)builder.record(record);
  const auto index = builder.seal_segment(start + segment_size);
  const auto again = decode_wal_index(encode_wal_index(index));
  PGS_ASSERT(again.has_value() && *again == index);
}

// Makes pages' headers belong and records that lie whole in a page right.
void seal_stream(Bytes& bytes, int major_version) {
  Lsn previous;
  for (std::size_t page = 0; page < bytes.size(); page += wal_page_size) {
    const bool is_long = page == 0;
    store(bytes, page, wal_page_magic(major_version));
    store(bytes, page + 4, std::uint32_t{1});
    store(bytes, page + 8, start.value + page);
    if (page + 4 > bytes.size()) return;
    bytes[page + 2] =
        (bytes[page + 2] & std::byte{0x0D}) | std::byte{is_long ? std::uint8_t{2} : std::uint8_t{0}};
    bytes[page + 3] = std::byte{0};
    if (is_long) {
      store(bytes, 24, std::uint64_t{7});
      store(bytes, 32, segment_size);
      store(bytes, 36, wal_page_size);
    }
    const std::size_t page_end = std::min(page + wal_page_size, bytes.size());
    std::size_t at = page + (is_long ? 40 : 24);
    while (at + wal_record_header_size_bytes <= page_end) {
      const auto length = load_little<std::uint32_t>(bytes.data() + at);
      if (length < wal_record_header_size_bytes || length > page_end - at) break;
      store(bytes, at + 8, previous.value);
      previous = start + at;
      store(bytes, at + 20, compute_wal_record_crc(ByteView(bytes).subspan(at, length)));
      at += (length + 7) / 8 * 8;
    }
  }
}

struct Outcome {
  WalIndex index;
  Lsn valid_to;
  bool ended;
  std::string error;
  bool operator==(const Outcome&) const = default;
};

Outcome read_stream(ByteView bytes, std::size_t piece) {
  auto reader = *WalRecordReader::create({.start = start, .segment_size_bytes = segment_size});
  WalIndexBuilder builder(start);
  Result<void> fed;
  while (fed && !bytes.empty()) {
    const auto count = std::min(piece, bytes.size());
    // A copy, so that a view kept beyond the call is seen.
    fed = reader.feed(to_bytes(bytes.first(count)), builder);
    bytes = bytes.subspan(count);
  }
  return {builder.seal_segment(start + segment_size), reader.valid_to(), reader.ended(),
          fed ? "" : fed.error().describe()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const int major_version = 13 + (data[0] & 7) % 6;
  Bytes bytes = to_bytes(std::as_bytes(std::span(data + 1, size - 1)));
  if ((data[0] & 0x80U) != 0) {
    read_single(std::move(bytes), major_version);
    return 0;
  }
  seal_stream(bytes, major_version);
  const auto whole = read_stream(bytes, SIZE_MAX);
  PGS_ASSERT(read_stream(bytes, 1) == whole);
  PGS_ASSERT(read_stream(bytes, 1000) == whole);
  return 0;
}
