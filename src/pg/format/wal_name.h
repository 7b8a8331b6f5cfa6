// Names of the files in pg_wal.
//
// Source: src/include/access/xlog_internal.h. A segment is named by timeline and number, each half of the
// number written as eight upper-case hexadecimal digits; how they split depends on the segment size. The same
// from 13 to 18. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace pgstrata {

inline constexpr std::uint32_t wal_segment_size_min_bytes = 1U << 20U;
inline constexpr std::uint32_t wal_segment_size_max_bytes = 1U << 30U;
// A power of two from 1 MiB to 1 GiB.
[[nodiscard]] bool is_wal_segment_size(std::uint64_t size_bytes);

// Segment `number` holds the bytes from number * segment size on.
struct WalSegment {
  TimelineId timeline;
  std::uint64_t number = 0;
  auto operator<=>(const WalSegment&) const = default;
};

// Here and below `segment_size_bytes` must satisfy is_wal_segment_size.
[[nodiscard]] std::string wal_segment_name(WalSegment segment, std::uint32_t segment_size_bytes);
// "000000010000000000000003"; nothing for all else, "….partial" and "….backup" included.
[[nodiscard]] std::optional<WalSegment> parse_wal_segment_name(std::string_view name,
                                                               std::uint32_t segment_size_bytes);

[[nodiscard]] Lsn wal_segment_start(std::uint64_t number, std::uint32_t segment_size_bytes);
[[nodiscard]] std::uint64_t wal_segment_of(Lsn lsn, std::uint32_t segment_size_bytes);

// "00000002.history"
[[nodiscard]] std::string timeline_history_name(TimelineId timeline);
[[nodiscard]] std::optional<TimelineId> parse_timeline_history_name(std::string_view name);

}  // namespace pgstrata
