#include "catalog/wal_segment_summary.h"

#include "codec/endian.h"

namespace pgstrata {

namespace {
constexpr std::uint8_t summary_version = 2;  // 1 had no complete_until
}  // namespace

Bytes encode_wal_segment_summary(const WalSegmentSummary& summary) {
  ByteWriter writer;
  writer.u8(summary_version);
  writer.u64(summary.system_identifier.value);
  writer.u32(summary.timeline.value);
  writer.u64(summary.start_lsn.value);
  writer.u64(summary.end_lsn.value);
  writer.u64(static_cast<std::uint64_t>(summary.latest_transaction_end.micros));
  writer.u64(summary.last_break.from.value);
  writer.u64(summary.last_break.to.value);
  writer.u64(static_cast<std::uint64_t>(summary.sent.micros));
  writer.u64(static_cast<std::uint64_t>(summary.reaches_to.micros));
  writer.u64(static_cast<std::uint64_t>(summary.complete_until.micros));
  writer.bytes(encode_wal_index(summary.index));
  return writer.take();
}

Result<WalSegmentSummary> decode_wal_segment_summary(ByteView bytes) {
  ByteReader reader(bytes);
  const auto version = reader.u8();
  if (version > summary_version) {
    return fail(ErrorCode::newer_format, "WAL segment summary of format {}; this pgstrata reads up to {}",
                version, summary_version);
  }
  WalSegmentSummary summary;
  summary.system_identifier = {reader.u64()};
  summary.timeline = {reader.u32()};
  summary.start_lsn = {reader.u64()};
  summary.end_lsn = {reader.u64()};
  summary.latest_transaction_end = {static_cast<std::int64_t>(reader.u64())};
  summary.last_break.from = {reader.u64()};
  summary.last_break.to = {reader.u64()};
  summary.sent = {static_cast<std::int64_t>(reader.u64())};
  summary.reaches_to = {static_cast<std::int64_t>(reader.u64())};
  if (version > 1) summary.complete_until = {static_cast<std::int64_t>(reader.u64())};
  if (reader.failed() || version == 0 || summary.end_lsn < summary.start_lsn) {
    return fail(ErrorCode::damaged, "WAL segment summary does not parse");
  }
  PGS_TRY(summary.index, decode_wal_index(reader.bytes(reader.remaining())));
  return summary;
}

}  // namespace pgstrata
