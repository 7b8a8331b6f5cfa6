// Timeline history files, and the names of files in pg_wal.
#include "base/assert.h"
#include "base/bytes.h"
#include "pg/format/timeline_history.h"
#include "pg/format/wal_name.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(std::as_bytes(std::span(data, size)));
  if (const auto history = parse_timeline_history(TimelineId{0xFFFF}, text)) {
    PGS_ASSERT(history->timeline_at({UINT64_MAX}) == history->timeline || !history->ancestors.empty());
  }
  constexpr std::uint32_t segment_size = 16U << 20U;
  if (const auto segment = parse_wal_segment_name(text, segment_size)) {
    PGS_ASSERT(wal_segment_name(*segment, segment_size) == text);
  }
  (void)parse_timeline_history_name(text);
  return 0;
}
