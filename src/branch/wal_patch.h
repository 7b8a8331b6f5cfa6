// Bytes of the WAL that a branch sees otherwise than they are.
//
// A CREATE TABLESPACE after the snapshot: recovery makes the tablespace where the record says, which on the
// source's machine is the running server's own folder. In the branch's WAL the location is empty, and the
// record's CRC that of the record as it is then. PostgreSQL takes an empty location for a tablespace in
// place, a folder of pg_tblspc: within the branch. (Since 15, and in 13.8, 14.5 and later; before those
// recovery ends with an error, and nothing is touched either.)
#pragma once

#include <span>

#include "restore/new_tablespaces.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

struct WalPatch {
  Lsn at;
  Bytes bytes;
};

// Those that keep recovery by this plan within the branch; `tablespaces` are all that its WAL makes. Errors:
// damaged, not_found.
[[nodiscard]] Result<std::vector<WalPatch>> keep_tablespaces_inside(
    const ClusterSpace& space, const RecoveryPlan& plan, std::span<const NewTablespace> tablespaces);

// `bytes` begin at `at`.
void apply_wal_patches(std::span<const WalPatch> patches, Lsn at, MutableByteView bytes);

// Where the byte at `offset` of a record lies: page headers are in between.
[[nodiscard]] Lsn wal_position_within(Lsn record_start, std::uint64_t offset, std::uint32_t segment_bytes);

}  // namespace pgstrata
