// `hold`: keeps a snapshot, a moment or a range of time from retention.
#pragma once

#include <string>
#include <variant>

#include "app/registered_cluster.h"
#include "catalog/hold.h"
#include "restore/recovery_target.h"

namespace pgstrata {

struct HeldSnapshot {
  std::string id;
};
struct HeldRange {
  RecoveryTarget from;
  RecoveryTarget to;
};

struct HoldRequest {
  // Any moment of a range can be restored, from the snapshot at or before its beginning.
  std::variant<HeldSnapshot, RecoveryTarget, HeldRange> what;
  std::string reason;
  Timestamp until;  // not valid: until it is removed
};

// The hold as it was written. Errors: usage (a range that ends before it begins); not_found (no such snapshot, or retention has
// just taken it away); those of plan_target.
[[nodiscard]] Result<Hold> add_hold(const RegisteredCluster& cluster, const HoldRequest& request,
                                    const Clock& clock, const Cancellation& cancellation);

}  // namespace pgstrata
