// What a sealed WAL segment says of itself: what parses is written back and parses the same.
#include "catalog/wal_segment_summary.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto summary = decode_wal_segment_summary(std::as_bytes(std::span(data, size)));
  if (!summary) return 0;
  PGS_ASSERT(summary->start_lsn <= summary->end_lsn);
  const auto again = decode_wal_segment_summary(encode_wal_segment_summary(*summary));
  PGS_ASSERT(again && again->end_lsn == summary->end_lsn && again->index == summary->index &&
             again->latest_transaction_end == summary->latest_transaction_end);
  return 0;
}
