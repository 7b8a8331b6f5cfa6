// What a restore over something existing does before it writes: counts what is there, and removes what the
// snapshot does not have. Internal to the room.
#pragma once

#include "base/cancellation.h"
#include "restore/restore_layout.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata {

// Removes files, links and folders that are not the snapshot's, or are something else there. Tablespace links
// are removed too unless they lead where the layout says. In a tablespace's folder only the snapshot's
// version directory is looked into: what lies beside it is not the snapshot's cluster's. Error: cancelled.
Result<void> remove_what_the_snapshot_lacks(const RestoreLayout& layout, FileTreeReader& tree,
                                            const Cancellation& cancellation);

// Refuses a restore that would not fit. Counts what the snapshot needs and takes off what is there already,
// for each file system; `further_bytes` go into the data directory beside it. Error: no_space.
Result<void> check_free_space(const RestoreLayout& layout, FileTreeReader& tree, std::uint64_t further_bytes);

}  // namespace pgstrata
