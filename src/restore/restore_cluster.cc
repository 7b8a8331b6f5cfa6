#include "restore/restore_cluster.h"

#include <algorithm>

#include "base/log.h"
#include "restore/batch_producer.h"
#include "restore/new_tablespaces.h"
#include "snapshot/extent_reader.h"

namespace pgstrata {

Result<ControlFile> read_control_file(const ClusterSpace& space, const SnapshotRecord& snapshot) {
  FileTreeReader tree(space, snapshot.tree);
  PGS_TRY(const auto entry, tree.find(control_file_path));
  if (!entry || extent_count(entry->size_bytes) != 1) {
    return fail(ErrorCode::damaged, "snapshot {} has no {}", snapshot.id, control_file_path);
  }
  PGS_TRY(const auto extents, tree.extents(*entry, 0, 1));
  Bytes content(extent_size(entry->size_bytes, 0));
  if (!extents.front().chunk) return fail(ErrorCode::damaged, "{} is all zeros", control_file_path);
  PGS_CHECK(ExtentReader(space).read(extents.front(), extent_size(entry->size_bytes, 0), content));
  return parse_control_file(content);
}

Result<RestoredCluster> restore_cluster(const ClusterSpace& space, const RecoveryPlan& plan,
                                        const RestoreClusterOptions& options,
                                        const Cancellation& cancellation) {
  PGS_CHECK(
      recovery_settings_block(plan, options.settings));  // what is wrong with them is said before any work
  PGS_TRY(const auto new_tablespaces, find_new_tablespaces(space, plan, cancellation));
  PGS_CHECK(check_new_tablespaces(new_tablespaces));
  for (const auto& tablespace : new_tablespaces) {
    log_warning("recovery makes tablespace {} again at {:?}, its place on the source", tablespace.oid,
                tablespace.location);
  }
  PGS_TRY(const auto control, read_control_file(space, plan.snapshot));
  RestoredCluster restored;
  auto files = options.files;
  PGS_TRY(files.further_bytes, recovery_kit_bytes(space, plan, options.kit));
  const auto total_bytes = plan.snapshot.total_bytes;
  std::vector<std::string> places_elsewhere;
  auto kit = options.kit;
  kit.on_progress = [&](std::uint64_t written_bytes) {
    if (files.on_progress)
      files.on_progress({total_bytes + written_bytes, total_bytes + files.further_bytes});
  };
  files.before_durable = [&](const TargetDirectory& data) -> Result<void> {
    PGS_CHECK(write_recovery_kit(space, plan, data, kit, cancellation));
    PGS_TRY(places_elsewhere, write_recovery_settings(data, plan, options.settings));
    PGS_TRY(restored.written_configuration, write_missing_configuration(data, control));
    return {};
  };
  PGS_TRY(restored.files, restore_files(space, plan.snapshot, files, cancellation));
  std::ranges::move(places_elsewhere, std::back_inserter(restored.files.warnings));
  return restored;
}

}  // namespace pgstrata
