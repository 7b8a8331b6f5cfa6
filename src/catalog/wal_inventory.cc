#include "catalog/wal_inventory.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "catalog/wal_segment.h"
#include "pg/format/wal_name.h"
#include "repo/record.h"

namespace pgstrata {

namespace {

constexpr std::string_view wal_prefix = "wal/";
constexpr std::string_view tail_suffix = ".tail";
constexpr std::size_t segment_name_length = 24;

// ".0001A000-1f2e3d4c.tail" -> 0x1A000
std::optional<std::uint64_t> tail_offset(std::string_view suffix) {
  if (!suffix.starts_with('.') || !suffix.ends_with(tail_suffix) ||
      suffix.size() < 1 + 8 + tail_suffix.size()) {
    return std::nullopt;
  }
  std::uint64_t offset = 0;
  const auto* from = suffix.data() + 1;
  const auto [end, error] = std::from_chars(from, from + 8, offset, 16);
  if (error != std::errc() || end != from + 8) return std::nullopt;
  return offset;
}

struct WalName {
  WalSegment segment;
  std::string_view suffix;  // "", ".partial", ".OFFSET-RANDOM.tail"
};

// "wal/00000001/000000010000000000000003.partial"
std::optional<WalName> parse_wal_object_name(std::string_view name, std::uint32_t segment_bytes) {
  const auto slash = name.rfind('/');
  if (slash == std::string_view::npos || name.size() < slash + 1 + segment_name_length) return std::nullopt;
  const auto segment = parse_wal_segment_name(name.substr(slash + 1, segment_name_length), segment_bytes);
  if (!segment || name.substr(0, slash) != fmt::format("wal/{:08X}", segment->timeline.value))
    return std::nullopt;
  return WalName{*segment, name.substr(slash + 1 + segment_name_length)};
}

bool is_no_segment(const ClusterSpace& space, const std::string& name) {
  const auto reader = WalSegmentReader::open(space, name);
  return !reader && reader.error().code() == ErrorCode::damaged;
}

}  // namespace

std::string wal_object_name(TimelineId timeline, Lsn start, std::uint32_t segment_bytes) {
  return fmt::format("wal/{:08X}/{}", timeline.value,
                     wal_segment_name({timeline, wal_segment_of(start, segment_bytes)}, segment_bytes));
}

Result<WalInventory> WalInventory::load(const ClusterSpace& space, std::uint32_t segment_bytes) {
  return load_prefix(space, segment_bytes, wal_prefix);
}

Result<WalInventory> WalInventory::load_segment(const ClusterSpace& space, std::uint32_t segment_bytes,
                                                TimelineId timeline, Lsn segment_start) {
  return load_prefix(space, segment_bytes, wal_object_name(timeline, segment_start, segment_bytes));
}

Result<WalInventory> WalInventory::load_prefix(const ClusterSpace& space, std::uint32_t segment_bytes,
                                               std::string_view prefix) {
  WalInventory inventory(segment_bytes);
  PGS_TRY(const auto objects, space.list(prefix));
  for (const auto& object : objects) {
    const auto name = parse_wal_object_name(object.name, segment_bytes);
    const auto offset = name ? tail_offset(name->suffix) : std::nullopt;
    if (!name || !(name->suffix.empty() || name->suffix == partial_wal_suffix || offset)) {
      inventory.unknown_names_.push_back(object.name);
      continue;
    }
    const auto start = wal_segment_start(name->segment.number, segment_bytes);
    auto& segment = inventory.timelines_[name->segment.timeline][start];
    segment.start = start;
    segment.stored_bytes += object.size_bytes;
    inventory.stored_bytes_ += object.size_bytes;
    if (name->suffix.empty()) {
      segment.sealed = object.name;
    } else if (offset) {
      segment.tails.push_back({object.name, start + *offset, object.size_bytes});
    } else {
      segment.partial = object.name;
    }
  }
  for (auto& [timeline, segments] : inventory.timelines_) {
    for (auto& [start, segment] : segments) {
      std::ranges::sort(segment.tails, {}, &WalTailObject::start);
      if (!segment.sealed.empty() && !segment.tails.empty() && is_no_segment(space, segment.sealed))
        inventory.unknown_names_.push_back(std::exchange(segment.sealed, {}));
    }
  }
  return inventory;
}

Result<WalInventory> WalInventory::load_durable(const ClusterSpace& space, std::uint32_t segment_bytes) {
  PGS_TRY(auto inventory, load(space, segment_bytes));
  PGS_CHECK(space.store().make_names_durable(space.object_name(wal_prefix)));
  return inventory;
}

const WalSegmentObjects* WalInventory::find(TimelineId timeline, Lsn segment_start) const {
  const auto segments = timelines_.find(timeline);
  if (segments == timelines_.end()) return nullptr;
  const auto segment = segments->second.find(segment_start);
  return segment == segments->second.end() ? nullptr : &segment->second;
}

void WalInventory::forget(TimelineId timeline, Lsn segment_start) {
  const auto segments = timelines_.find(timeline);
  if (segments == timelines_.end()) return;
  segments->second.erase(segment_start);
  if (segments->second.empty()) timelines_.erase(segments);
}

}  // namespace pgstrata
