// The recovery kit: what PostgreSQL's recovery needs to get its WAL, left in the data directory by a restore.
//
// PostgreSQL asks for WAL by running restore_command once for each segment. That command must need no secret
// of the operator's, take milliseconds, and give away as little as possible: so the kit lists exactly the
// segments of one plan, each with the key of its own pack. No cluster key and no repository key leaves the
// restore, and whoever reads the kit can read that WAL and nothing else, most of which is about to be in the
// same directory anyway.
//
// It lives in pg_wal/pgstrata/, mode 0600, where the server and pg_verifybackup look past it:
//   kit             the list (docs/formats/recovery-kit.md)
//   spool/NAME      segments and timeline histories that are ready to be taken
//   position        the number of the segment that recovery asked for last
//   prefetch.lock   held by the process that keeps the next segments ready
//
// WAL that has no pack of its own yet (tails, and the partial end of a timeline) is written to the spool when
// the kit is made, filled up with zeros; so are the timeline histories. Bytes past the plan's end are zeros
// everywhere.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancellation.h"
#include "codec/secret.h"
#include "restore/recovery_plan.h"
#include "restore/target_directory.h"

namespace pgstrata {

inline constexpr std::string_view kit_folder = "pg_wal/pgstrata";
inline constexpr std::string_view kit_file = "pg_wal/pgstrata/kit";

struct KitSegment {
  TimelineId timeline;
  Lsn start;
  std::optional<SecretKey> pack_key;  // absent: it lies in the spool
};

struct RecoveryKit {
  std::string repository;  // its location, as the opener of stores understands it
  std::string cluster;
  std::uint32_t wal_segment_bytes = 0;
  Lsn end_lsn;                       // bytes from here on are handed out as zeros
  std::vector<KitSegment> segments;  // in the order of need
};

[[nodiscard]] Bytes encode_recovery_kit(const RecoveryKit& kit);
// Errors: damaged, newer_format.
[[nodiscard]] Result<RecoveryKit> decode_recovery_kit(ByteView bytes);

struct KitOptions {
  std::string repository;
  // Writes all WAL to the spool now: for a server that cannot reach the repository, or may not read it.
  bool materialise_all = false;
  // May be empty; called as WAL is written to the spool, with the bytes so far.
  std::function<void(std::uint64_t)> on_progress = {};
};

// Makes the kit and what goes with it in a data directory that is being restored. Not yet durable.
// Errors: not_found, damaged (WAL that the plan counts on); no_space; cancelled.
[[nodiscard]] Result<void> write_recovery_kit(const ClusterSpace& space, const RecoveryPlan& plan,
                                              const TargetDirectory& data, const KitOptions& options,
                                              const Cancellation& cancellation);

// The WAL that it writes to the spool, whole segments, as the repository is now.
[[nodiscard]] Result<std::uint64_t> recovery_kit_bytes(const ClusterSpace& space, const RecoveryPlan& plan,
                                                       const KitOptions& options);

// Removes kit and spool, once recovery has ended. A kit that is gone already is no error.
[[nodiscard]] Result<void> remove_recovery_kit(const TargetDirectory& data);

}  // namespace pgstrata
