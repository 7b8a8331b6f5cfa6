// Work in what belongs to a branch's server: its mount, its WAL, its sockets. Internal to the room and to roll.
#pragma once

#include <functional>

#include <unistd.h>

#include "branch/branch_record.h"
#include "sys/file_access.h"

namespace pgstrata {

// With that user's right to files: he may have put a link anywhere there, and it leads no further than he may go
// himself. Whoever is not root has no more right than that anyway.
[[nodiscard]] inline Result<void> as_server_user(const BranchRecord& record,
                                                 const std::function<Result<void>()>& work) {
  if (::geteuid() != 0) return work();
  return with_file_access_of(record.user, work);
}

}  // namespace pgstrata
