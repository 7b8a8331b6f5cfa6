// A snapshot's files into a native data directory.
//
// What a crash leaves: a marker (restore_layout.h) is made durable before the first change and pg_control is
// removed after that, so a half-restored directory can be started by no PostgreSQL; pg_control comes back
// last, once all else is durable, and then the marker goes. When restore_files returns, everything is
// durable. A restore that was interrupted goes on where it was when it is run again, with or without --delta.
//
// Over an existing directory each extent is compared by its content tag with what the file holds, and only
// what differs is read from the repository and written; what the snapshot does not have is removed, symbolic
// links and files with several names included. Zeros become holes.
//
// Memory: some 10 MiB a worker, whatever the size of the database.
#pragma once

#include <functional>
#include <string>

#include "base/cancellation.h"
#include "restore/restore_layout.h"

namespace pgstrata {

struct RestoreProgress {
  std::uint64_t bytes_done = 0;  // of the data directory, holes and unchanged parts included
  std::uint64_t bytes_total = 0;
};

struct RestoreFilesOptions {
  std::filesystem::path data_directory;
  std::vector<TablespaceMapping> tablespace_mappings;
  bool delta = false;
  unsigned workers = 0;  // 0: one for each core, at most 16
  // Called from the workers, one at a time.
  std::function<void(const RestoreProgress&)> on_progress;
  // Runs when all files but pg_control are written, before they are made durable: what recovery needs is
  // written here, so that it is there when the directory can be started.
  std::function<Result<void>(const TargetDirectory& data)> before_durable;
  // Makes the files what they are to be instead, once all of the snapshot's but pg_control are written, and
  // says what to write as pg_control, last.
  std::function<Result<Bytes>(const RestoreLayout& layout)> become;
  std::uint64_t further_bytes = 0;  // that before_durable writes; counted where space and progress are
  std::uint64_t grown_bytes = 0;    // that become adds to the data directory; counted where space is
};

struct RestoredFiles {
  std::uint64_t files = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t reused_bytes = 0;  // found in place
  std::uint64_t zero_bytes = 0;    // holes
  FileOwner owner;                 // say whom the files belong to
  std::vector<std::string> warnings;
};

// Each tablespace's place is logged before the first write. Errors: those of RestoreLayout::prepare; failed
// (the snapshot has files in a tablespace that are not PostgreSQL's: nothing is written); no_space (before
// the first write where that can be told, and when the disk fills up all the same); damaged, not_found (the
// repository lost a pack, named); cancelled. After an error in the middle the marker stays.
[[nodiscard]] Result<RestoredFiles> restore_files(const ClusterSpace& space, const SnapshotRecord& snapshot,
                                                  const RestoreFilesOptions& options,
                                                  const Cancellation& cancellation);

}  // namespace pgstrata
