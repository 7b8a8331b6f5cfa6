#include "branch/wal_patch.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/wal_reader.h"
#include "codec/endian.h"
#include "pg/format/wal_reader.h"
#include "restore/new_tablespaces.h"

namespace pgstrata {
namespace {

constexpr std::size_t crc_offset = 20;
constexpr std::size_t location_offset = 4;  // xl_tblspc_create_rec: the OID, then the location

// The first record that comes.
class FirstRecord final : public WalRecordHandler {
 public:
  Result<void> record(const WalRecord& record) override {
    if (!bytes.empty()) return {};
    bytes.assign(record.bytes.begin(), record.bytes.end());
    main_data_offset = static_cast<std::size_t>(record.main_data.data() - record.bytes.data());
    return {};
  }
  Bytes bytes;
  std::size_t main_data_offset = 0;
};

Result<FirstRecord> read_record(const ClusterSpace& space, const WalInventory& inventory,
                                const RecoveryPlan& plan, Lsn start) {
  PGS_TRY(auto reader,
          WalRecordReader::create({.start = start,
                                   .segment_size_bytes = plan.wal_segment_bytes,
                                   .major_version = static_cast<int>(plan.snapshot.server_version / 10000),
                                   .system_identifier = {}}));
  FirstRecord first;
  const auto timeline_of = [&](Lsn at) -> std::optional<TimelineId> {
    const auto segment = std::ranges::find(plan.segments, at, &RecoverySegment::start);
    if (segment == plan.segments.end()) return std::nullopt;
    return segment->timeline;
  };
  PGS_CHECK(
      read_wal(space, inventory, timeline_of, start, plan.end_lsn, [&](Lsn, ByteView bytes) -> Result<bool> {
        PGS_CHECK(reader.feed(bytes, first));
        return first.bytes.empty();
      }));
  if (first.bytes.empty()) return fail(ErrorCode::not_found, "there is no whole WAL record at {}", start);
  return first;
}

}  // namespace

Lsn wal_position_within(Lsn record_start, std::uint64_t offset, std::uint32_t segment_bytes) {
  Lsn at = record_start;
  while (true) {
    const auto left_in_page = wal_page_size - at.value % wal_page_size;
    if (offset < left_in_page) return at + offset;
    offset -= left_in_page;
    at += left_in_page;
    at += at.value % segment_bytes == 0 ? wal_long_page_header_size_bytes : wal_page_header_size_bytes;
  }
}

Result<std::vector<WalPatch>> keep_tablespaces_inside(const ClusterSpace& space, const RecoveryPlan& plan,
                                                      std::span<const NewTablespace> tablespaces) {
  std::vector<WalPatch> patches;
  if (tablespaces.empty()) return patches;
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  for (const auto& tablespace : tablespaces) {
    if (tablespace.location.empty()) continue;  // it is one in place already
    PGS_TRY(auto record, read_record(space, inventory, plan, tablespace.lsn));
    const auto location = record.main_data_offset + location_offset;
    if (location >= record.bytes.size())
      return fail(ErrorCode::damaged, "the WAL record at {} is too short", tablespace.lsn);
    record.bytes[location] = std::byte{};
    ByteWriter crc;
    crc.u32(compute_wal_record_crc(record.bytes));
    // Records begin at multiples of eight, so the CRC lies in one page.
    patches.push_back({wal_position_within(tablespace.lsn, crc_offset, plan.wal_segment_bytes), crc.take()});
    patches.push_back(
        {wal_position_within(tablespace.lsn, location, plan.wal_segment_bytes), Bytes(1, std::byte{})});
    log_info("tablespace {}, made after the snapshot at \"{}\", is made within the branch", tablespace.oid,
             tablespace.location);
  }
  return patches;
}

void apply_wal_patches(std::span<const WalPatch> patches, Lsn at, MutableByteView bytes) {
  for (const auto& patch : patches) {
    for (std::size_t index = 0; index < patch.bytes.size(); ++index) {
      const Lsn place = patch.at + index;
      if (place >= at && place - at < bytes.size()) bytes[place - at] = patch.bytes[index];
    }
  }
}

}  // namespace pgstrata
