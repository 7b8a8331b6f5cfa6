// Holds of those who read: what a branch or a restore needs stays in the repository for as long (catalog/hold.h).
#pragma once

#include <filesystem>

#include "app/registered_cluster.h"
#include "catalog/hold.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

// Those segments of a plan's WAL.
[[nodiscard]] WalSegmentIds segments_of(const RecoveryPlan& plan);

// A hold on all that the plan names; its id. Empty where the repository cannot be written to, with a word in the log: what
// can only be read is to be read all the same. Errors: not_found, when retention has just taken it away; cancelled.
[[nodiscard]] Result<std::string> hold_plan(const ClusterSpace& space, const RecoveryPlan& plan,
                                            HoldKind kind, std::string reason, Timestamp until = {});

// "branch look on db1".
[[nodiscard]] std::string branch_hold_reason(std::string_view branch);
// "restore to /srv/restored on db1".
[[nodiscard]] std::string restore_hold_reason(const std::filesystem::path& directory);

// One that stays is told in the log. An empty id is none.
void release_hold(ObjectStore& store, std::string_view cluster, std::string_view id);
// The same for who has not opened the repository: no key is needed.
void release_hold(const std::string& repository_location, std::string_view cluster, std::string_view id);

}  // namespace pgstrata
