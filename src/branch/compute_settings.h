// What a branch's server is told, and where it can be reached. Internal to the room.
#pragma once

#include "branch/branch_record.h"
#include "pg/server/server_instance.h"

namespace pgstrata {

// `recovering`: on the way to the branch's moment, or a read-only branch that stays there.
[[nodiscard]] ServerOptions compute_options(const BranchHome& home, const BranchRecord& record,
                                            bool recovering);

}  // namespace pgstrata
