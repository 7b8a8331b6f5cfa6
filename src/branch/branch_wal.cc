#include "branch/branch_wal.h"

#include <algorithm>

#include "catalog/wal_reader.h"
#include "pg/format/wal_name.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

Result<void> write_segment(const ClusterSpace& space, const WalInventory& inventory,
                           const RecoverySegment& segment, const RecoveryPlan& plan,
                           const std::filesystem::path& pg_wal, std::span<const WalPatch> patches) {
  const auto end = plan.expected_end_lsn;
  PGS_TRY(auto wal, read_wal_segment(space, inventory, segment.timeline, segment.start, end));
  const auto visible = end > segment.start ? end - segment.start : 0;
  wal.bytes.resize(std::min<std::uint64_t>(wal.bytes.size(), visible));
  apply_wal_patches(patches, segment.start, wal.bytes);
  const auto name = wal_segment_name(
      {segment.timeline, wal_segment_of(segment.start, plan.wal_segment_bytes)}, plan.wal_segment_bytes);
  PGS_TRY(const auto file, open_file(pg_wal / name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  PGS_CHECK(write_all(file, wal.bytes));
  PGS_CHECK(resize_file(file, plan.wal_segment_bytes));
  return sync_file(file);
}

Result<void> write_history(const ClusterSpace& space, TimelineId timeline, const RecoveryPlan& plan,
                           const std::filesystem::path& pg_wal) {
  PGS_TRY(const auto content, history_for_recovery(space, plan, timeline));
  if (!content) return {};
  PGS_TRY(const auto file,
          open_file(pg_wal / timeline_history_name(timeline), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  PGS_CHECK(write_all(file, *content));
  return sync_file(file);
}

}  // namespace

Result<std::vector<RecoverySegment>> sealed_segments(const ClusterSpace& space, const RecoveryPlan& plan) {
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  std::vector<RecoverySegment> sealed;
  for (const auto& segment : plan.segments) {
    const auto* objects = inventory.find(segment.timeline, segment.start);
    if (objects != nullptr && !objects->sealed.empty()) sealed.push_back(segment);
  }
  return sealed;
}

Result<void> write_branch_wal(const ClusterSpace& space, const RecoveryPlan& plan,
                              const std::filesystem::path& pg_wal, std::span<const WalPatch> patches) {
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  for (const auto& segment : plan.segments) {
    PGS_TRY(const bool there,
            file_exists(pg_wal / wal_segment_name({segment.timeline,
                                                   wal_segment_of(segment.start, plan.wal_segment_bytes)},
                                                  plan.wal_segment_bytes)));
    if (!there) PGS_CHECK(write_segment(space, inventory, segment, plan, pg_wal, patches));
  }
  for (const auto timeline : plan.histories) PGS_CHECK(write_history(space, timeline, plan, pg_wal));
  return {};
}

Result<std::uint64_t> allocated_bytes(const std::filesystem::path& folder) {
  PGS_TRY(const auto entries, list_directory(folder));
  std::uint64_t bytes = 0;
  for (const auto& entry : entries) {
    const auto path = folder / entry.name;
    if (entry.kind == FileType::directory) {
      PGS_TRY(const auto below, allocated_bytes(path));
      bytes += below;
      continue;
    }
    // It may be gone by now.
    if (const auto info = stat_file(path)) bytes += info->allocated_bytes;
  }
  return bytes;
}

}  // namespace pgstrata
