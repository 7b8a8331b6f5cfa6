#include "pg/format/control_file.h"

#include <bit>

#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::size_t crc_offset_1300 = 288;
constexpr std::size_t crc_offset_1800 = 292;
constexpr std::size_t smallest_size_bytes = crc_offset_1800 + sizeof(std::uint32_t);

struct Fields {
  const std::byte* bytes;
  template <std::unsigned_integral T>
  [[nodiscard]] T at(std::size_t offset) const {
    return load_little<T>(bytes + offset);
  }
  [[nodiscard]] std::uint32_t u32(std::size_t offset) const { return at<std::uint32_t>(offset); }
  [[nodiscard]] std::uint64_t u64(std::size_t offset) const { return at<std::uint64_t>(offset); }
  [[nodiscard]] bool flag(std::size_t offset) const { return at<std::uint8_t>(offset) != 0; }
  // pg_time_t: seconds since 1970. Hostile values wrap, they do not overflow.
  [[nodiscard]] Timestamp seconds(std::size_t offset) const {
    return {static_cast<std::int64_t>(u64(offset) * 1'000'000U)};
  }
};

Result<std::size_t> crc_offset(std::uint32_t control_version) {
  switch (control_version) {
    case 1300:
    case 1700:
      return crc_offset_1300;
    case 1800:
      return crc_offset_1800;
    default:
      return fail(ErrorCode::unsupported, "pg_control is of version {}, not of PostgreSQL 13 to 18",
                  control_version);
  }
}

Result<void> check_build(const Fields& fields) {
  constexpr double float_format = 1234567.0;
  if (fields.u32(204) != 8 || std::bit_cast<double>(fields.u64(208)) != float_format) {
    return fail(ErrorCode::unsupported, "the cluster is of another processor architecture");
  }
  if (fields.u32(216) != page_size) {
    return fail(ErrorCode::unsupported, "the cluster has pages of {} bytes; only {} is supported",
                fields.u32(216), page_size);
  }
  if (fields.u32(220) != 131'072) {
    return fail(ErrorCode::unsupported, "the cluster has {} blocks in a file; only 131072 is supported",
                fields.u32(220));
  }
  if (fields.u32(224) != 8192) {
    return fail(ErrorCode::unsupported, "the cluster has WAL blocks of {} bytes; only 8192 is supported",
                fields.u32(224));
  }
  return {};
}

Result<void> check_values(const Fields& fields) {
  const std::uint32_t segment_size_bytes = fields.u32(228);
  if (!std::has_single_bit(segment_size_bytes) || segment_size_bytes < (1U << 20U) ||
      segment_size_bytes > (1U << 30U)) {
    return fail(ErrorCode::damaged, "pg_control has a WAL segment size of {}", segment_size_bytes);
  }
  if (fields.u32(16) > 6)
    return fail(ErrorCode::damaged, "pg_control has the unknown state {}", fields.u32(16));
  if (fields.u32(172) > 2)
    return fail(ErrorCode::damaged, "pg_control has the unknown WAL level {}", fields.u32(172));
  return {};
}

ControlFile read_fields(const Fields& fields) {
  ControlFile control;
  control.system_identifier.value = fields.u64(0);
  control.control_version = fields.u32(8);
  control.catalog_version = fields.u32(12);
  control.state = static_cast<ClusterState>(fields.u32(16));
  control.modified = fields.seconds(24);
  control.checkpoint.value = fields.u64(32);
  control.redo.value = fields.u64(40);
  control.timeline.value = fields.u32(48);
  control.previous_timeline.value = fields.u32(52);
  control.next_xid = fields.u64(64);
  control.checkpoint_time = fields.seconds(104);
  control.minimum_recovery_point.value = fields.u64(136);
  control.minimum_recovery_timeline.value = fields.u32(144);
  control.backup_start.value = fields.u64(152);
  control.backup_end.value = fields.u64(160);
  control.backup_end_required = fields.flag(168);
  control.wal_level = static_cast<WalLevel>(fields.u32(172));
  control.wal_log_hints = fields.flag(176);
  control.max_connections = fields.u32(180);
  control.max_worker_processes = fields.u32(184);
  control.max_wal_senders = fields.u32(188);
  control.max_prepared_transactions = fields.u32(192);
  control.max_locks_per_transaction = fields.u32(196);
  control.track_commit_timestamp = fields.flag(200);
  control.wal_segment_size_bytes = fields.u32(228);
  control.data_checksum_version = fields.u32(252);
  return control;
}

}  // namespace

std::string_view to_string(ClusterState state) {
  switch (state) {
    case ClusterState::starting_up:
      return "starting up";
    case ClusterState::shut_down:
      return "shut down";
    case ClusterState::shut_down_in_recovery:
      return "shut down in recovery";
    case ClusterState::shutting_down:
      return "shutting down";
    case ClusterState::in_crash_recovery:
      return "in crash recovery";
    case ClusterState::in_archive_recovery:
      return "in archive recovery";
    case ClusterState::in_production:
      return "in production";
  }
  return "unknown";
}

std::string_view to_string(WalLevel level) {
  switch (level) {
    case WalLevel::minimal:
      return "minimal";
    case WalLevel::replica:
      return "replica";
    case WalLevel::logical:
      return "logical";
  }
  return "unknown";
}

int ControlFile::major_version() const {
  switch (catalog_version) {
    case 202007201:
      return 13;
    case 202107181:
      return 14;
    case 202209061:
      return 15;
    case 202307071:
      return 16;
    case 202406281:
      return 17;
    case 202506291:
      return 18;
    default:
      return 0;
  }
}

Result<ControlFile> parse_control_file(ByteView bytes) {
  if (bytes.size() < smallest_size_bytes) {
    return fail(ErrorCode::damaged, "pg_control has only {} bytes", bytes.size());
  }
  const Fields fields{bytes.data()};
  PGS_TRY(const std::size_t crc_at, crc_offset(fields.u32(8)));
  const std::uint32_t crc = crc32c_finish(crc32c_extend(crc32c_begin, bytes.first(crc_at)));
  if (crc != fields.u32(crc_at)) return fail(ErrorCode::damaged, "pg_control has a wrong checksum");
  PGS_CHECK(check_build(fields));
  PGS_CHECK(check_values(fields));
  return read_fields(fields);
}

}  // namespace pgstrata
