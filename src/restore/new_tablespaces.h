// Tablespaces that were made after the snapshot, by the WAL that recovery replays.
//
// Recovery makes them where they were made: it links pg_tblspc/OID to the location in the record, which
// cannot be mapped, and writes into the folder it finds there. On the source's machine that is the running
// server's own.
#pragma once

#include <string>
#include <vector>

#include "restore/recovery_plan.h"

namespace pgstrata {

struct NewTablespace {
  Oid oid;
  std::string location;
  Lsn lsn;  // of the record
};

// In order of their records. Reads the WAL of segments that changed a shared catalog. Errors: damaged,
// not_found, cancelled.
[[nodiscard]] Result<std::vector<NewTablespace>> find_new_tablespaces(const ClusterSpace& space,
                                                                      const RecoveryPlan& plan,
                                                                      const Cancellation& cancellation);

// Each location must be an empty folder. Errors: already_exists (something is in it), not_found (no such
// folder).
[[nodiscard]] Result<void> check_new_tablespaces(const std::vector<NewTablespace>& tablespaces);

}  // namespace pgstrata
