#include "branch/branch_setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "branch/branch_files.h"
#include "branch/branch_trouble.h"
#include "branch/branch_wal.h"
#include "branch/compute_questions.h"
#include "branch/left_server.h"
#include "branch/mount_failure.h"
#include "branch/mount_process.h"
#include "branch/server_user.h"
#include "restore/restore_cluster.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr auto server_stop_limit = std::chrono::minutes(5);

Timestamp moment_of(const RecoveryPlan& plan) {
  if (const auto* time = std::get_if<TimeTarget>(&plan.target.point)) return time->time;
  return plan.last_commit;
}

// Of the plan that the record was made from: what write_branch_wal asks for.
RecoveryPlan wal_plan_of(const BranchRecord& record) {
  RecoveryPlan plan;
  plan.timeline = record.timeline;
  plan.end_lsn = record.end_lsn;
  plan.expected_end_lsn = record.end_lsn;
  plan.wal_segment_bytes = record.wal_segment_bytes;
  plan.segments = record.wal;
  plan.histories = record.histories;
  return plan;
}

// Links from the data directory to the tablespaces' folders in the mount, and to the WAL's beside it:
// relative, so that they lead there also once the branch has another name.
Result<void> make_links(const BranchHome& home, const SnapshotRecord& snapshot) {
  const auto wal = std::filesystem::path("../..") / home.wal().filename();
  if (::symlink(wal.c_str(), (home.data() / "pg_wal").c_str()) != 0)
    return std::unexpected(error_from_errno(errno, "link pg_wal"));
  for (const auto& tablespace : snapshot.tablespaces) {
    const auto link = home.data() / "pg_tblspc" / std::to_string(tablespace.oid.value);
    const auto target =
        std::filesystem::path("../..") / branch_tablespaces_folder / std::to_string(tablespace.oid.value);
    if (::symlink(target.c_str(), link.c_str()) != 0)
      return std::unexpected(error_from_errno(errno, fmt::format("link tablespace {}", tablespace.oid)));
  }
  return {};
}

Result<void> remove_what_is_another_servers(const BranchHome& home) {
  for (const auto* name : {"postmaster.pid", "postmaster.opts", "recovery.signal", "promote"})
    PGS_CHECK(remove_file_if_there(home.data() / name));
  return {};
}

// What the server is known by, and what is otherwise on this machine. One that nobody can connect to is said
// to be so: its owner may know how.
void learn_of_server(const BranchHome& home, BranchRecord& record, const Cancellation& cancellation) {
  auto connection = connect_to_compute(home, record, cancellation);
  if (connection) return warn_of_other_locales(*connection);
  log_warning("branch \"{}\" is open, but does not let its superuser in: {}", record.name,
              connection.error().describe());
}

// Another server may have taken its port while it did not run.
Result<void> keep_or_change_port(const BranchHome& home, BranchRecord& record) {
  if (is_port_free(record.port)) return {};
  const auto taken = record.port;
  PGS_TRY(record.port, choose_port(home.state_directory()));
  log_warning("port {} is another server's by now: branch \"{}\" listens on {}", taken, record.name,
              record.port);
  return put_branch_record(home, record);
}

Result<void> remove_sockets(const BranchHome& home) {
  PGS_TRY(const auto sockets, list_directory(home.socket_folder()));
  for (const auto& entry : sockets) {
    const bool socket = entry.name.starts_with(".s.PGSQL.") && entry.kind != FileType::directory;
    if (socket) PGS_CHECK(remove_file_if_there(home.socket_folder() / entry.name));
  }
  return {};
}

Result<void> clear_overlay(const BranchHome& home) {
  PGS_TRY(const auto owner, choose_owner(home.socket_folder()));
  PGS_CHECK(make_wal_folder(home, owner));
  PGS_CHECK(remove_tree(home.overlay()));
  PGS_CHECK(make_directories(home.overlay()));
  return sync_directory(home.path());
}

// The server's user passes through, and reads nothing but what is his.
Result<void> make_folders(const BranchHome& home, const FileOwner& owner) {
  if (::mkdir(home.path().c_str(), 0711) != 0) {
    if (errno == EEXIST) {
      return std::unexpected(make_error(ErrorCode::already_exists, "there is a branch \"{}\" already",
                                        home.path().filename().native())
                                 .with_hint("`pgstrata branch reset` takes it to another moment, `pgstrata "
                                            "branch delete` takes it away."));
    }
    return std::unexpected(error_from_errno(errno, fmt::format("make \"{}\"", home.path().native())));
  }
  for (const auto& folder : {home.overlay(), home.mount_point(), home.socket_folder()})
    PGS_CHECK(make_directories(folder));
  PGS_CHECK(make_wal_folder(home, owner));
  if (::chmod(home.path().c_str(), 0711) != 0)
    return std::unexpected(error_from_errno(errno, "set the mode of the branch's folder"));
  if (owner.change && ::chown(home.socket_folder().c_str(), owner.user, owner.group) != 0)
    return std::unexpected(error_from_errno(errno, "give the branch's socket folder away"));
  return {};
}

// The lock goes last, and from elsewhere: its holder has it open, and on NFS and FUSE a file that is open when it is
// removed stays in its folder, under another name, until it is closed.
Result<void> remove_branch_folder(const BranchHome& home) {
  const auto entries = list_directory(home.path());
  if (!entries && entries.error().code() == ErrorCode::not_found) return {};
  PGS_CHECK(entries);
  for (const auto& entry : *entries) {
    const auto path = home.path() / entry.name;
    if (path != home.lock()) PGS_CHECK(remove_tree(path));
  }
  const auto lock = home.path().parent_path() / fmt::format(".{}.gone", home.path().filename().native());
  if (const auto moved = rename_file(home.lock(), lock);
      !moved && moved.error().code() != ErrorCode::not_found)
    return moved;
  // No more than the folder: from now on another command may make the branch anew in it.
  if (::rmdir(home.path().c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not remove \"{}\"", home.path().native())));
  return remove_file_if_there(lock);
}

// Of a branch that was cut off while it was made or taken away: without a record it is none.
Result<void> remove_leftovers(const BranchHome& home) {
  PGS_TRY(const bool there, file_exists(home.path()));
  PGS_TRY(const bool is_branch, file_exists(home.record()));
  if (!there || is_branch) return {};
  PGS_TRY(const auto lock, lock_folder_of(home));
  log_info("taking away what an interrupted command left in \"{}\"", home.path().native());
  return remove_branch(home);
}

}  // namespace

Result<BranchRecord> branch_record_of(const ClusterSpace& space, const RecoveryPlan& plan,
                                      std::span<const NewTablespace> tablespaces, const std::string& name,
                                      const std::string& repository) {
  BranchRecord record;
  record.cluster = space.name();
  record.name = name;
  record.repository = repository;
  record.created = system_clock().now();
  PGS_CHECK(set_plan(record, space, plan, tablespaces));
  return record;
}

Result<void> set_plan(BranchRecord& record, const ClusterSpace& space, const RecoveryPlan& plan,
                      std::span<const NewTablespace> tablespaces) {
  record.target = describe(plan.target);
  record.moment = moment_of(plan);
  record.last_commit = plan.last_commit;
  record.snapshot = plan.snapshot.id;
  record.timeline = plan.timeline;
  record.end_lsn = plan.expected_end_lsn;
  record.server_version = plan.snapshot.server_version;
  record.wal_segment_bytes = plan.wal_segment_bytes;
  record.wal = plan.segments;
  record.histories = plan.histories;
  PGS_TRY(record.wal_patches, keep_tablespaces_inside(space, plan, tablespaces));
  PGS_TRY(record.sealed_wal, sealed_segments(space, plan));
  return {};
}

Result<LockFile> make_branch_folder(const BranchHome& home, const FileOwner& owner) {
  PGS_CHECK(make_directories(home.path().parent_path(), 0711));
  // Another command that makes it must not take a folder that is not locked yet for a left one.
  PGS_TRY(const auto alone, LockFile::acquire(home.makers_lock()));
  PGS_CHECK(remove_leftovers(home));
  PGS_CHECK(make_folders(home, owner));
  return lock_folder_of(home);
}

// A server of another branch is not meant: the ids of processes come again.
Result<void> stop_branch_processes(const BranchHome& home, StopMode mode) {
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (mounted) PGS_CHECK(stop_compute(home, mode, server_stop_limit));
  PGS_CHECK(end_left_server(home));
  // What is to be thrown away may be in use.
  return stop_mount_process(home, !mounted || mode == StopMode::immediate);
}

Result<void> remove_branch(const BranchHome& home) {
  PGS_CHECK(stop_branch_processes(home, StopMode::immediate));
  PGS_CHECK(remove_file_if_there(home.record()));
  return remove_branch_folder(home);
}

Result<void> mount_branch(const ClusterSpace& space, const BranchHome& home, const BranchRecord& record,
                          const Cancellation& cancellation) {
  PGS_CHECK(end_left_server(home));
  PGS_CHECK(start_mount_process(home, record.repository, space, cancellation));
  // Whatever process has the id that these name, it is not this branch's server: that has ended, or is about to
  // be taken off the list of processes.
  return as_server_user(record, [&]() -> Result<void> {
    PGS_CHECK(remove_file_if_there(home.data() / "postmaster.pid"));
    return remove_sockets(home);
  });
}

Result<void> write_wal_of(const ClusterSpace& space, const BranchHome& home, const BranchRecord& record,
                          Lsn from) {
  auto plan = wal_plan_of(record);
  std::erase_if(plan.segments, [&](const RecoverySegment& segment) {
    return segment.start + record.wal_segment_bytes < from;
  });
  return write_branch_wal(space, plan, record.sealed_wal, home, record.wal_patches);
}

Result<void> mount_at_moment(const ClusterSpace& space, const SnapshotRecord& snapshot,
                             const BranchHome& home, const BranchRecord& record,
                             const Cancellation& cancellation) {
  PGS_TRY(const auto control, read_control_file(space, snapshot));
  PGS_CHECK(clear_overlay(home));
  PGS_CHECK(write_compute_configuration(home, record, control));
  PGS_CHECK(mount_branch(space, home, record, cancellation));
  PGS_CHECK(as_server_user(record, [&]() -> Result<void> {
    PGS_CHECK(make_links(home, snapshot));
    return remove_what_is_another_servers(home);
  }));
  return write_wal_of(space, home, record, Lsn{});
}

Result<void> open_at_moment(const ClusterSpace& space, const BranchHome& home, BranchRecord& record,
                            const ServerInstallation& installation, const ComputeOptions& options,
                            const Cancellation& cancellation) {
  PGS_TRY(const auto snapshot, get_snapshot(space, record.snapshot));
  PGS_CHECK(mount_at_moment(space, snapshot, home, record, cancellation));
  PGS_CHECK(keep_or_change_port(home, record));
  PGS_CHECK(recover_compute(home, record, installation, options, cancellation));
  learn_of_server(home, record, cancellation);
  PGS_CHECK(cancellation.check());
  record.recovered = true;
  record.wal_settled_to = record.end_lsn;
  record.started = true;
  return put_branch_record(home, record);
}

Result<bool> branch_serves(const BranchHome& home, const ComputeOptions& options,
                           const Cancellation& cancellation) {
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (!mounted) return false;
  PGS_TRY(const auto state, settled_compute_state(home, options, cancellation));
  return state != ComputeState::stopped;
}

Result<void> bring_branch_back(const ClusterSpace& space, const BranchHome& home, BranchRecord& record,
                               const ServerInstallation& installation, const ComputeOptions& options,
                               const Cancellation& cancellation) {
  if (const auto lack = lack_of_room(home)) log_warning("{}", *lack);
  const auto opened = [&]() -> Result<void> {
    // Also where a mount is left: a new process has forgotten which syncs failed, and the kernel what it
    // could not write.
    PGS_CHECK(mount_branch(space, home, record, cancellation));
    // An advance notes the WAL before it writes it.
    if (record.read_only) PGS_CHECK(write_wal_of(space, home, record, record.wal_settled_to));
    PGS_CHECK(keep_or_change_port(home, record));
    return start_compute(home, record, installation, options, cancellation);
  }();
  if (!opened) return std::unexpected(explained_by_mount(home, opened.error()));
  learn_of_server(home, record, cancellation);
  record.wal_settled_to = record.end_lsn;
  record.started = true;
  return put_branch_record(home, record);
}

}  // namespace pgstrata
