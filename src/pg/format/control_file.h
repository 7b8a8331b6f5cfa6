// pg_control: what a cluster knows of itself before it starts.
//
// Source: src/include/catalog/pg_control.h (ControlFileData). Control version 1300 is PostgreSQL 13 to 16,
// 1700 is 17, 1800 is 18. Offsets are the same in all three up to the data checksum version; 1800 puts a flag
// (char signedness) before the nonce, which moves the CRC from 288 to 292. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"
#include "base/types.h"

namespace pgstrata {

enum class ClusterState : std::uint8_t {
  starting_up = 0,
  shut_down = 1,
  shut_down_in_recovery = 2,
  shutting_down = 3,
  in_crash_recovery = 4,
  in_archive_recovery = 5,
  in_production = 6,
};
// pg_controldata's words: "shut down in recovery".
[[nodiscard]] std::string_view to_string(ClusterState state);

enum class WalLevel : std::uint8_t { minimal = 0, replica = 1, logical = 2 };
[[nodiscard]] std::string_view to_string(WalLevel level);

struct ControlFile {
  std::uint32_t control_version = 0;
  std::uint32_t catalog_version = 0;
  SystemIdentifier system_identifier;
  ClusterState state = ClusterState::starting_up;
  Timestamp modified;

  Lsn checkpoint;  // of the latest checkpoint record
  Lsn redo;        // where replay from it starts
  TimelineId timeline;
  TimelineId previous_timeline;
  Timestamp checkpoint_time;
  std::uint64_t next_xid = 0;  // with epoch in the high half

  Lsn minimum_recovery_point;  // invalid when not in archive recovery
  TimelineId minimum_recovery_timeline;
  Lsn backup_start;
  Lsn backup_end;
  bool backup_end_required = false;

  // Settings of the server that wrote it; recovery demands at least as much of each number.
  WalLevel wal_level = WalLevel::minimal;
  bool wal_log_hints = false;
  std::uint32_t max_connections = 0;
  std::uint32_t max_worker_processes = 0;
  std::uint32_t max_wal_senders = 0;
  std::uint32_t max_prepared_transactions = 0;
  std::uint32_t max_locks_per_transaction = 0;
  bool track_commit_timestamp = false;

  std::uint32_t wal_segment_size_bytes = 0;
  std::uint32_t data_checksum_version = 0;  // 0: pages carry no checksum

  // 13 to 16 share control version 1300: told apart by the catalog version. 0 when that is of no release.
  [[nodiscard]] int major_version() const;
};

inline constexpr std::size_t control_file_size_bytes = 8192;

// `bytes` is the file, at least its first 296 bytes.
// Errors: damaged, when it is short, its CRC is wrong or a value makes no sense; unsupported, when it is of
// another control version or of a server built with other page or WAL block sizes.
[[nodiscard]] Result<ControlFile> parse_control_file(ByteView bytes);

}  // namespace pgstrata
