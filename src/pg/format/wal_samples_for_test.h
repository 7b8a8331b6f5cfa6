// The WAL samples, and ways to feed them. For tests only.
#pragma once

#include <random>

#include "pg/format/sample_for_test.h"
#include "pg/format/wal_index.h"
#include "pg/format/wal_name.h"
#include "pg/format/wal_reader.h"

namespace pgstrata {

struct WalSample {
  static constexpr std::uint32_t segment_size_bytes = 1U << 20U;

  explicit WalSample(int major_version)
      : major(major_version),
        facts(major_version),
        bytes(read_sample("wal_" + std::to_string(major_version) + ".zst")),
        start(wal_segment_start(parse_wal_segment_name(facts.text("first_file"), segment_size_bytes)->number,
                                segment_size_bytes)) {}

  [[nodiscard]] Lsn end() const { return start + bytes.size(); }
  [[nodiscard]] WalRecordReader reader() const {
    return *WalRecordReader::create({.start = start, .segment_size_bytes = segment_size_bytes});
  }

  int major;
  Facts facts;
  Bytes bytes;
  Lsn start;
};

// One index per segment, the sample fed in pieces that `next_piece_bytes` decides.
template <class Pieces>
Result<std::vector<WalIndex>> index_sample(const WalSample& sample, Pieces next_piece_bytes) {
  auto reader = sample.reader();
  WalIndexBuilder builder(sample.start);
  std::vector<WalIndex> indexes;
  ByteView left = sample.bytes;
  while (!left.empty()) {
    const std::size_t in_segment =
        WalSample::segment_size_bytes - reader.position().value % WalSample::segment_size_bytes;
    const std::size_t count = std::min({next_piece_bytes(), left.size(), in_segment});
    PGS_CHECK(reader.feed(left.first(count), builder));
    left = left.subspan(count);
    if (count == in_segment) indexes.push_back(builder.seal_segment(reader.position()));
  }
  return indexes;
}

}  // namespace pgstrata
