// tablespace_map: where the tablespaces of a base backup were.
//
// Source: do_pg_backup_start in src/backend/access/transam/xlog.c and read_tablespace_map in xlogrecovery.c.
// One line "OID PATH" each; in the path a backslash stands before every newline, carriage return and
// backslash that is part of it. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

struct TablespaceLocation {
  Oid tablespace;
  std::string path;
  bool operator==(const TablespaceLocation&) const = default;
};

// Error: damaged, when a line is not an OID, a blank and a path, or the last line does not end.
[[nodiscard]] Result<std::vector<TablespaceLocation>> parse_tablespace_map(std::string_view text);
[[nodiscard]] std::string format_tablespace_map(const std::vector<TablespaceLocation>& locations);

}  // namespace pgstrata
