#include "branch/branch_setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include "branch/branch_wal.h"
#include "branch/mount_process.h"
#include "restore/restore_cluster.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr auto server_stop_limit = std::chrono::minutes(5);

Timestamp moment_of(const RecoveryPlan& plan) {
  if (const auto* time = std::get_if<TimeTarget>(&plan.target.point)) return time->time;
  return plan.last_commit;
}

// Links from the data directory to the tablespaces' folders in the mount.
Result<void> link_tablespaces(const BranchHome& home, const SnapshotRecord& snapshot) {
  for (const auto& tablespace : snapshot.tablespaces) {
    const auto link = home.data() / "pg_tblspc" / std::to_string(tablespace.oid.value);
    const auto target = home.tablespaces() / std::to_string(tablespace.oid.value);
    if (::symlink(target.c_str(), link.c_str()) != 0)
      return std::unexpected(error_from_errno(errno, fmt::format("link tablespace {}", tablespace.oid)));
  }
  return {};
}

Result<void> remove_what_is_another_servers(const BranchHome& home) {
  for (const auto* name : {"postmaster.pid", "postmaster.opts", "recovery.signal", "promote"}) {
    const auto removed = remove_file(home.data() / name);
    if (!removed && removed.error().code() != ErrorCode::not_found) return removed;
  }
  return {};
}

}  // namespace

Result<BranchRecord> branch_record_of(const ClusterSpace& space, const RecoveryPlan& plan,
                                      const std::string& name, const std::string& repository) {
  BranchRecord record;
  record.cluster = space.name();
  record.name = name;
  record.repository = repository;
  record.created = system_clock().now();
  record.target = describe(plan.target);
  record.moment = moment_of(plan);
  record.last_commit = plan.last_commit;
  record.snapshot = plan.snapshot.id;
  record.timeline = plan.timeline;
  record.end_lsn = plan.expected_end_lsn;
  record.server_version = plan.snapshot.server_version;
  record.wal_segment_bytes = plan.wal_segment_bytes;
  PGS_TRY(record.sealed_wal, sealed_segments(space, plan));
  return record;
}

// The server's user passes through, and reads nothing but what is his.
Result<void> make_branch_folders(const BranchHome& home, const FileOwner& owner) {
  std::error_code error;
  PGS_CHECK(make_directories(home.path().parent_path(), 0711));
  if (::mkdir(home.path().c_str(), 0711) != 0) {
    if (errno == EEXIST) {
      return fail(ErrorCode::already_exists, "there is a branch \"{}\" already",
                  home.path().filename().native());
    }
    return std::unexpected(error_from_errno(errno, fmt::format("make \"{}\"", home.path().native())));
  }
  for (const auto& folder : {home.overlay(), home.mount_point(), home.socket_folder()})
    PGS_CHECK(make_directories(folder));
  if (::chmod(home.path().c_str(), 0711) != 0)
    return std::unexpected(error_from_errno(errno, "set the mode of the branch's folder"));
  if (owner.change && ::chown(home.socket_folder().c_str(), owner.user, owner.group) != 0)
    return std::unexpected(error_from_errno(errno, "give the branch's socket folder away"));
  return {};
}

Result<std::vector<FileDescriptor>> mount_at_moment(const ClusterSpace& space, const RecoveryPlan& plan,
                                                    const BranchHome& home, const BranchRecord& record) {
  PGS_TRY(const auto control, read_control_file(space, plan.snapshot));
  PGS_CHECK(write_compute_configuration(home, record, control));
  PGS_CHECK(start_mount_process(home, record.repository, space));
  PGS_CHECK(link_tablespaces(home, plan.snapshot));
  PGS_CHECK(remove_what_is_another_servers(home));
  return write_branch_wal(space, plan, home.data() / "pg_wal");
}

// Not a server of another branch: the ids of processes come again.
Result<void> stop_branch_processes(const BranchHome& home, StopMode mode) {
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (mounted) PGS_CHECK(stop_compute(home, mode, server_stop_limit));
  return stop_mount_process(home, !mounted);
}

Result<void> remove_branch_folder(const BranchHome& home) {
  // Without its record it is none any more.
  const auto removed = remove_file(home.record());
  if (!removed && removed.error().code() != ErrorCode::not_found) return removed;
  return remove_tree(home.path());
}

}  // namespace pgstrata
