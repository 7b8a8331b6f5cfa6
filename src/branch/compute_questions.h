// What is asked of a branch's server once it answers. Internal to the room.
#pragma once

#include "base/cancellation.h"
#include "branch/branch_record.h"
#include "pg/wire/sql_connection.h"

namespace pgstrata {

// As the bootstrap superuser, by the name in the record or one that the data directory's files tell, to the
// database postgres, else template1. The record has the name afterwards. Errors: those of connecting.
[[nodiscard]] Result<SqlConnection> connect_to_compute(const BranchHome& home, BranchRecord& record,
                                                       const Cancellation& cancellation);

// Up to where a standby has replayed.
[[nodiscard]] Result<Lsn> replayed_to(SqlConnection& connection);

// Says in the log what is otherwise on this machine than on the source: locales that it lacks, and versions of
// collations, by which text is sorted.
void warn_of_other_locales(SqlConnection& connection);

}  // namespace pgstrata
