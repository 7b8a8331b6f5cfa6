#include "branch/branch_wal.h"

#include <algorithm>

#include <fcntl.h>
#include <unistd.h>

#include "branch/branch_files.h"
#include "catalog/wal_reader.h"
#include "pg/format/wal_name.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

// Its owner may have put anything there: nothing is followed, nothing written over.
Result<FileDescriptor> make_own_file(const std::filesystem::path& path, const FileOwner& owner) {
  PGS_TRY(auto file, open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (owner.change && ::fchown(file.get(), owner.user, owner.group) != 0)
    return std::unexpected(error_from_errno(errno, fmt::format("give \"{}\" away", path.native())));
  return file;
}

Result<void> write_segment(const ClusterSpace& space, const WalInventory& inventory,
                           const RecoverySegment& segment, const RecoveryPlan& plan,
                           const FileDescriptor& file, std::span<const WalPatch> patches) {
  const auto end = plan.expected_end_lsn;
  PGS_TRY(auto wal, read_wal_segment(space, inventory, segment.timeline, segment.start, end));
  const auto visible = end > segment.start ? end - segment.start : 0;
  wal.bytes.resize(std::min<std::uint64_t>(wal.bytes.size(), visible));
  apply_wal_patches(patches, segment.start, wal.bytes);
  PGS_CHECK(write_all(file, wal.bytes));
  PGS_CHECK(resize_file(file, plan.wal_segment_bytes));
  return sync_file(file);
}

Result<void> write_history(const ClusterSpace& space, TimelineId timeline, const RecoveryPlan& plan,
                           const BranchHome& home, const FileOwner& owner) {
  PGS_TRY(const auto content, history_for_recovery(space, plan, timeline));
  if (!content) return {};
  const auto path = home.wal() / timeline_history_name(timeline);
  PGS_CHECK(remove_file_if_there(path));
  PGS_TRY(const auto file, make_own_file(path, owner));
  PGS_CHECK(write_all(file, *content));
  return sync_file(file);
}

Result<void> link_segment(const BranchHome& home, const std::string& name) {
  const auto target = std::filesystem::path("..") / home.mount_point().filename() / branch_wal_folder / name;
  if (::symlink(target.c_str(), (home.wal() / name).c_str()) != 0)
    return std::unexpected(error_from_errno(errno, fmt::format("link WAL segment {}", name)));
  return {};
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

Result<void> make_wal_folder(const BranchHome& home, const FileOwner& owner) {
  PGS_CHECK(remove_tree(home.wal()));
  PGS_CHECK(make_directories(home.wal()));
  if (owner.change && ::chown(home.wal().c_str(), owner.user, owner.group) != 0)
    return std::unexpected(error_from_errno(errno, "give the branch's WAL folder away"));
  return {};
}

Result<void> write_branch_wal(const ClusterSpace& space, const RecoveryPlan& plan,
                              std::span<const RecoverySegment> sealed, const BranchHome& home,
                              std::span<const WalPatch> patches) {
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  PGS_TRY(const auto owner, choose_owner(home.wal()));
  for (const auto& segment : plan.segments) {
    const auto name = wal_segment_name(
        {segment.timeline, wal_segment_of(segment.start, plan.wal_segment_bytes)}, plan.wal_segment_bytes);
    std::error_code absent;
    if (std::filesystem::exists(std::filesystem::symlink_status(home.wal() / name, absent))) continue;
    if (std::ranges::find(sealed, segment) != sealed.end()) {
      PGS_CHECK(link_segment(home, name));
      continue;
    }
    // Under its name when it is whole: what has that name is never looked at again.
    const auto unfinished = home.wal() / (name + ".new");
    PGS_CHECK(remove_file_if_there(unfinished));
    PGS_TRY(const auto file, make_own_file(unfinished, owner));
    PGS_CHECK(write_segment(space, inventory, segment, plan, file, patches));
    PGS_CHECK(rename_file(unfinished, home.wal() / name));
  }
  for (const auto timeline : plan.histories) PGS_CHECK(write_history(space, timeline, plan, home, owner));
  return sync_directory(home.wal());
}

}  // namespace pgstrata
