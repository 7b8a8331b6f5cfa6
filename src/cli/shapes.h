// The JSON shapes that several commands share. Reference: docs/cli.md.
#pragma once

#include "app/registered_cluster.h"
#include "app/source_check.h"
#include "catalog/coverage.h"
#include "cli/command.h"

namespace pgstrata {

// RFC 3339, or null for none.
[[nodiscard]] Json json_time(Timestamp moment);
// "0/3000028", or null when it is not valid.
[[nodiscard]] Json json_lsn(Lsn lsn);
[[nodiscard]] Json json_snapshot(const SnapshotRecord& snapshot);
// The tables that its record lists.
[[nodiscard]] Json json_tables(const SnapshotRecord& snapshot);
[[nodiscard]] Json json_range(const CoverageRange& range);
// Null for nobody.
[[nodiscard]] Json json_holder(const std::optional<LeaseHolder>& holder);
[[nodiscard]] Json json_remarks(const std::vector<SourceRemark>& remarks);

}  // namespace pgstrata
