#include "pg/format/wal_name.h"

#include <bit>

#include "base/assert.h"
#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

constexpr std::string_view history_suffix = ".history";

std::uint64_t segments_per_id(std::uint32_t segment_size_bytes) {
  PGS_ASSERT(is_wal_segment_size(segment_size_bytes));
  return (std::uint64_t{1} << 32U) / segment_size_bytes;
}

std::optional<std::uint32_t> parse_hex8(std::string_view text) {
  if (text.size() != 8 || text.find_first_not_of("0123456789ABCDEF") != std::string_view::npos)
    return std::nullopt;
  return parse_number<std::uint32_t>(text, 16);
}

}  // namespace

bool is_wal_segment_size(std::uint64_t size_bytes) {
  return std::has_single_bit(size_bytes) && size_bytes >= wal_segment_size_min_bytes &&
         size_bytes <= wal_segment_size_max_bytes;
}

std::string wal_segment_name(WalSegment segment, std::uint32_t segment_size_bytes) {
  const std::uint64_t per_id = segments_per_id(segment_size_bytes);
  return fmt::format("{:08X}{:08X}{:08X}", segment.timeline.value, segment.number / per_id,
                     segment.number % per_id);
}

std::optional<WalSegment> parse_wal_segment_name(std::string_view name, std::uint32_t segment_size_bytes) {
  const std::uint64_t per_id = segments_per_id(segment_size_bytes);
  if (name.size() != 24) return std::nullopt;
  const auto timeline = parse_hex8(name.substr(0, 8));
  const auto high = parse_hex8(name.substr(8, 8));
  const auto low = parse_hex8(name.substr(16));
  if (!timeline || !high || !low || *timeline == 0 || *low >= per_id) return std::nullopt;
  return WalSegment{TimelineId{*timeline}, *high * per_id + *low};
}

Lsn wal_segment_start(std::uint64_t number, std::uint32_t segment_size_bytes) {
  return {number * segment_size_bytes};
}

std::uint64_t wal_segment_of(Lsn lsn, std::uint32_t segment_size_bytes) {
  return lsn.value / segment_size_bytes;
}

std::string timeline_history_name(TimelineId timeline) {
  return fmt::format("{:08X}{}", timeline.value, history_suffix);
}

std::optional<TimelineId> parse_timeline_history_name(std::string_view name) {
  if (!name.ends_with(history_suffix)) return std::nullopt;
  const auto timeline = parse_hex8(name.substr(0, name.size() - history_suffix.size()));
  if (!timeline || *timeline == 0) return std::nullopt;
  return TimelineId{*timeline};
}

}  // namespace pgstrata
