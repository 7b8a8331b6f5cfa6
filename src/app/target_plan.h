// From a moment to the plan that brings it back, for every command that takes one.
#pragma once

#include "app/registered_cluster.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

enum class WalReading {
  beforehand,  // all WAL on the way is read now: damage is told, or planned around, before anything is made
  on_demand,   // as recovery comes to it
};

// Errors: those of plan_recovery; a time that is but a moment too late is told what to say instead.
[[nodiscard]] Result<RecoveryPlan> plan_target(const RegisteredCluster& cluster, const RecoveryTarget& target,
                                               WalReading reading, const Cancellation& cancellation);

// From this snapshot, however many there are by now; WAL is read on demand. Errors: those of plan_recovery.
[[nodiscard]] Result<RecoveryPlan> plan_target_from(const std::string& snapshot,
                                                    const RegisteredCluster& cluster,
                                                    const RecoveryTarget& target,
                                                    const Cancellation& cancellation);

}  // namespace pgstrata
