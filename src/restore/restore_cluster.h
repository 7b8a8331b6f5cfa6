// A plan into a directory that PostgreSQL recovers from: the snapshot's files, the recovery kit, the
// settings.
#pragma once

#include "restore/recovery_kit.h"
#include "restore/recovery_settings.h"
#include "restore/restore_files.h"

namespace pgstrata {

struct RestoreClusterOptions {
  RestoreFilesOptions files;  // before_durable and further_bytes are taken
  KitOptions kit;             // on_progress is taken
  RecoverySettings settings;
};

struct RestoredCluster {
  RestoredFiles files;
  std::vector<std::string> written_configuration;  // what write_missing_configuration wrote
};

// When it returns, everything is durable, and a server started on the directory recovers to the plan's end
// and opens. Errors: those of restore_files and write_recovery_kit.
[[nodiscard]] Result<RestoredCluster> restore_cluster(const ClusterSpace& space, const RecoveryPlan& plan,
                                                      const RestoreClusterOptions& options,
                                                      const Cancellation& cancellation);

// The control file within a snapshot. Errors: damaged, not_found, unsupported.
[[nodiscard]] Result<ControlFile> read_control_file(const ClusterSpace& space,
                                                    const SnapshotRecord& snapshot);

}  // namespace pgstrata
