#include "branch/branch.h"

#include <future>

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "branch/branch_setup.h"
#include "branch/branch_wal.h"
#include "branch/fuse/fuse_mount.h"
#include "branch/mount_failure.h"
#include "branch/mount_process.h"
#include "restore/restore_cluster.h"
#include "restore/start_restored.h"
#include "restore/target_directory.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

Result<void> sync_files(const std::vector<FileDescriptor>& files) {
  for (const auto& file : files) PGS_CHECK(sync_file(file));
  return {};
}

Result<void> open_at_moment(const ClusterSpace& space, const RecoveryPlan& plan, const BranchHome& home,
                            BranchRecord& record, const ServerInstallation& installation,
                            const ComputeOptions& options, const Cancellation& cancellation) {
  PGS_TRY(const auto wal, mount_at_moment(space, plan, home, record));
  auto synced = std::async(std::launch::async, [&wal] { return sync_files(wal); });
  PGS_CHECK(recover_compute(home, record, installation, options, cancellation));
  PGS_CHECK(synced.get());
  record.recovered = true;
  record.started = true;
  return put_branch_record(home, record);
}

}  // namespace

std::string_view to_string(BranchState state) {
  switch (state) {
    case BranchState::creating:
      return "creating";
    case BranchState::running:
      return "running";
    case BranchState::recovering:
      return "recovering";
    case BranchState::stopped:
      return "stopped";
    case BranchState::broken:
      return "broken";
  }
  return "broken";
}

Result<BranchRecord> create_branch(const ClusterSpace& space, const RecoveryPlan& plan,
                                   const NewBranch& branch, const ComputeOptions& options,
                                   const Cancellation& cancellation) {
  PGS_CHECK(check_branch_name(branch.name));
  PGS_CHECK(check_fuse());
  const BranchHome home(branch.state_directory, space.name(), branch.name);
  PGS_TRY(const auto installation, installation_for(plan, home.data()));
  PGS_TRY(const auto owner, choose_owner(home.data()));
  PGS_TRY(auto record, branch_record_of(space, plan, branch.name, branch.repository));
  record.user = owner.name;
  record.read_only = branch.read_only;
  record.expires = branch.expires;
  record.settings = branch.settings;
  PGS_CHECK(make_branch_folders(home, owner));
  const auto made = [&]() -> Result<void> {
    PGS_TRY(record.port, choose_port(branch.state_directory));
    PGS_CHECK(put_branch_record(home, record));
    PGS_TRY(const auto lock, lock_branch(home));
    return open_at_moment(space, plan, home, record, installation, options, cancellation);
  }();
  if (made) return record;
  auto why = explained_by_mount(home, made.error());  // before its log goes
  const auto undone = stop_branch_processes(home, StopMode::immediate);
  if (undone) {
    static_cast<void>(remove_branch_folder(home));
  } else {
    log_warning("what was made of branch \"{}\" could not be taken away: {}", branch.name,
                undone.error().describe());
  }
  return std::unexpected(std::move(why));
}

Result<BranchRecord> start_branch(const ClusterSpace& space, const BranchHome& home,
                                  const ComputeOptions& options, const Cancellation& cancellation) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  if (!record.recovered) {
    return std::unexpected(make_error(ErrorCode::failed,
                                      "branch \"{}\" was never opened: its creation was cut short",
                                      record.name)
                               .with_hint("Delete it and create it again."));
  }
  PGS_TRY(const auto installation, ServerInstallation::find(static_cast<int>(record.server_version / 10000)));
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (!mounted) PGS_CHECK(start_mount_process(home, record.repository, space));
  PGS_TRY(const auto state, compute_state(home));
  if (state == ComputeState::stopped)
    PGS_CHECK(start_compute(home, record, installation, options, cancellation));
  record.started = true;
  PGS_CHECK(put_branch_record(home, record));
  return record;
}

Result<BranchRecord> stop_branch(const BranchHome& home) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  record.started = false;
  PGS_CHECK(stop_branch_processes(home, StopMode::fast));
  PGS_CHECK(put_branch_record(home, record));
  return record;
}

Result<void> delete_branch(const BranchHome& home) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_CHECK(stop_branch_processes(home, StopMode::immediate));
  return remove_branch_folder(home);
}

Result<void> rename_branch(const std::filesystem::path& state_directory, const BranchHome& home,
                           const std::string& new_name) {
  PGS_CHECK(check_branch_name(new_name));
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (mounted) {
    return std::unexpected(make_error(ErrorCode::busy, "branch \"{}\" runs", record.name)
                               .with_hint("Stop it first: its server knows the place that it runs in."));
  }
  const BranchHome renamed(state_directory, record.cluster, new_name);
  PGS_CHECK(rename_file_to_new(home.path(), renamed.path()));
  PGS_CHECK(sync_directory(renamed.path().parent_path()));
  record.name = new_name;
  return put_branch_record(renamed, record);
}

Result<BranchSight> look_at_branch(const BranchHome& home) {
  BranchSight sight;
  PGS_TRY(sight.record, get_branch_record(home));
  PGS_TRY(const bool mounted, mount_process_runs(home));
  auto compute = ComputeState::stopped;
  if (mounted) {
    if (const auto state = compute_state(home)) compute = *state;
  }
  if (compute == ComputeState::recovering) {
    sight.state = BranchState::recovering;
  } else if (compute != ComputeState::stopped) {
    sight.state = BranchState::running;
  } else if (!sight.record.recovered) {
    sight.state = BranchState::creating;
  } else {
    sight.state = sight.record.started ? BranchState::broken : BranchState::stopped;
  }
  PGS_TRY(sight.overlay_bytes, allocated_bytes(home.overlay()));
  return sight;
}

Result<std::vector<BranchSight>> list_branches(const std::filesystem::path& state_directory,
                                               std::string_view cluster) {
  PGS_TRY(const auto names, branch_names(state_directory, cluster));
  std::vector<BranchSight> sights;
  for (const auto& name : names) {
    auto sight = look_at_branch(BranchHome(state_directory, cluster, name));
    if (sight) {
      sights.push_back(*std::move(sight));
    } else {
      log_warning("branch \"{}\" cannot be read: {}", name, sight.error().describe());
    }
  }
  return sights;
}

}  // namespace pgstrata
