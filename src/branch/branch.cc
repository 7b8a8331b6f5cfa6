#include "branch/branch.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "branch/branch_setup.h"
#include "branch/branch_trouble.h"
#include "branch/branch_wal.h"
#include "branch/fuse/fuse_mount.h"
#include "branch/left_server.h"
#include "branch/mount_failure.h"
#include "branch/mount_process.h"
#include "pg/format/text_parsing.h"
#include "restore/start_restored.h"
#include "restore/target_directory.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

Result<void> check_not_promoted(const BranchRecord& record) {
  if (record.promoted_to.empty()) return {};
  return std::unexpected(make_error(ErrorCode::failed,
                                    "branch \"{}\" was promoted to \"{}\", which has taken "
                                    "its place",
                                    record.name, record.promoted_to)
                             .with_hint("`pgstrata branch delete` takes away what is left of it."));
}

// Which port it listens on may be said as any setting; where its files and its socket are, not.
Result<void> take_port_from_settings(BranchRecord& record) {
  for (const auto& [name, value] : record.settings) {
    if (name == "data_directory" || name == "unix_socket_directories")
      return fail(ErrorCode::usage,
                  "{} cannot be set for a branch: its files and its socket are in its own folder", name);
    if (name != "port") continue;
    const auto port = parse_decimal<std::uint16_t>(value);
    if (!port || *port == 0) return fail(ErrorCode::usage, "\"{}\" is no port", value);
    if (!is_port_free(*port)) return fail(ErrorCode::usage, "port {} is another server's", *port);
    record.port = *port;
  }
  std::erase_if(record.settings, [](const auto& setting) { return setting.first == "port"; });
  return {};
}

// Opens it at another moment, or again at its own, with nothing written in it. Cut short, it is what
// open_at_moment has not finished: start goes on from there.
Result<BranchRecord> open_anew(const ClusterSpace& space, const BranchHome& home, BranchRecord record,
                               const ComputeOptions& options, const Cancellation& cancellation) {
  PGS_CHECK(check_fuse());
  PGS_TRY(const auto installation, ServerInstallation::find(static_cast<int>(record.server_version / 10000)));
  PGS_CHECK(stop_branch_processes(home, StopMode::immediate));
  record.recovered = false;
  PGS_CHECK(put_branch_record(home, record));
  const auto opened = open_at_moment(space, home, record, installation, options, cancellation);
  if (opened) return record;
  if (const auto stopped = stop_branch_processes(home, StopMode::immediate); !stopped)
    log_warning("{}", stopped.error().describe());
  return std::unexpected(explained_by_mount(home, opened.error()));
}

}  // namespace

std::string_view to_string(BranchState state) {
  switch (state) {
    case BranchState::unfinished:
      return "unfinished";
    case BranchState::running:
      return "running";
    case BranchState::recovering:
      return "recovering";
    case BranchState::stopped:
      return "stopped";
    case BranchState::broken:
      return "broken";
    case BranchState::promoted:
      return "promoted";
  }
  return "broken";
}

Result<BranchRecord> create_branch(const ClusterSpace& space, const RecoveryPlan& plan,
                                   const NewBranch& branch, const ComputeOptions& options,
                                   const Cancellation& cancellation) {
  PGS_CHECK(check_branch_name(branch.name));
  PGS_CHECK(check_fuse());
  const BranchHome home(branch.state_directory, space.name(), branch.name);
  PGS_CHECK(check_socket_path(home));
  PGS_TRY(const auto installation, installation_for(plan, home.data()));
  PGS_TRY(const auto owner, choose_owner(home.data()));
  PGS_TRY(const auto tablespaces, find_new_tablespaces(space, plan, cancellation));
  PGS_TRY(auto record, branch_record_of(space, plan, tablespaces, branch.name, branch.repository));
  record.user = owner.name;
  record.read_only = branch.read_only;
  record.expires = branch.expires;
  record.settings = branch.settings;
  record.hold = branch.hold;
  PGS_CHECK(take_port_from_settings(record));
  PGS_TRY(const auto lock, make_branch_folder(home, owner));
  remove_kept_logs(home);
  const auto made = [&]() -> Result<void> {
    if (record.port == 0) {
      PGS_TRY(record.port, choose_port(branch.state_directory));
    }
    PGS_CHECK(put_branch_record(home, record));
    return open_at_moment(space, home, record, installation, options, cancellation);
  }();
  if (made) return record;
  auto why = with_kept_logs(home, explained_by_mount(home, made.error()));
  if (const auto undone = remove_branch(home); !undone) {
    log_warning("what was made of branch \"{}\" could not be taken away: {}", branch.name,
                undone.error().describe());
  }
  return std::unexpected(std::move(why));
}

Result<BranchRecord> start_branch(const ClusterSpace& space, const BranchHome& home,
                                  const ComputeOptions& options, const Cancellation& cancellation) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  PGS_CHECK(check_not_promoted(record));
  if (!record.recovered) {
    PGS_TRY(const bool open, opened_as_planned(home, record));
    if (!open) return open_anew(space, home, std::move(record), options, cancellation);
    // Cut off just before it was noted: people may be at work in it.
    record.recovered = true;
    record.wal_settled_to = record.end_lsn;
  }
  PGS_TRY(const auto installation, ServerInstallation::find(static_cast<int>(record.server_version / 10000)));
  PGS_TRY(const bool serves, branch_serves(home, options, cancellation));
  if (serves) {
    record.started = true;
    PGS_CHECK(put_branch_record(home, record));
  } else {
    PGS_CHECK(bring_branch_back(space, home, record, installation, options, cancellation));
  }
  return record;
}

Result<BranchRecord> reset_branch(const ClusterSpace& space, const BranchHome& home, const RecoveryPlan* plan,
                                  const ComputeOptions& options, const Cancellation& cancellation) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  PGS_CHECK(check_not_promoted(record));
  if (plan != nullptr) {
    PGS_TRY(const auto tablespaces, find_new_tablespaces(space, *plan, cancellation));
    PGS_CHECK(set_plan(record, space, *plan, tablespaces));
  }
  return open_anew(space, home, std::move(record), options, cancellation);
}

Result<BranchRecord> stop_branch(const BranchHome& home) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  record.started = false;
  PGS_CHECK(put_branch_record(home, record));  // also where somebody keeps its files busy
  PGS_CHECK(stop_branch_processes(home, StopMode::fast));
  return record;
}

Result<void> delete_branch(const BranchHome& home) {
  PGS_TRY(const auto lock, lock_branch(home));
  remove_kept_logs(home);
  return remove_branch(home);
}

Result<BranchRecord> set_expiration(const BranchHome& home, std::optional<Timestamp> expires) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  record.expires = expires;
  PGS_CHECK(put_branch_record(home, record));
  return record;
}

Result<void> set_branch_hold(const BranchHome& home, std::string_view hold) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(auto record, get_branch_record(home));
  record.hold = hold;
  return put_branch_record(home, record);
}

std::vector<BranchRecord> delete_expired_branches(const std::filesystem::path& state_directory,
                                                  std::string_view cluster, std::string_view spared,
                                                  Timestamp now) {
  std::vector<BranchRecord> deleted;
  const auto names = branch_names(state_directory, cluster);
  if (!names) return deleted;
  for (const auto& name : *names) {
    const BranchHome home(state_directory, cluster, name);
    const auto record = get_branch_record(home);
    if (!record || !record->expires || *record->expires > now) continue;
    if (name == spared) {
      log_warning("branch \"{}\" of {} expired at {}: it goes with the next command that does not name it",
                  name, cluster, to_display(*record->expires));
      continue;
    }
    const auto gone = delete_branch(home);
    if (gone) {
      log_info("branch \"{}\" of {} expired at {} and is deleted", name, cluster,
               to_display(*record->expires));
      deleted.push_back(*record);
    } else if (gone.error().code() != ErrorCode::busy) {
      log_warning("branch \"{}\" of {} expired and cannot be deleted: {}", name, cluster,
                  gone.error().describe());
    }
  }
  return deleted;
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
  const auto moved = rename_file_to_new(home.path(), renamed.path());
  if (!moved && moved.error().code() == ErrorCode::already_exists)
    return fail(ErrorCode::already_exists, "there is a branch \"{}\" already", new_name);
  PGS_CHECK(moved);
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
  if (!sight.record.promoted_to.empty()) {
    sight.state = BranchState::promoted;
  } else if (!sight.record.recovered && compute != ComputeState::recovering) {
    sight.state = BranchState::unfinished;
  } else if (compute == ComputeState::recovering) {
    sight.state = BranchState::recovering;
  } else if (compute != ComputeState::stopped) {
    sight.state = BranchState::running;
  } else {
    sight.state = sight.record.started ? BranchState::broken : BranchState::stopped;
  }
  if (sight.state == BranchState::broken) sight.trouble = trouble_of(home, mounted);
  PGS_TRY(sight.overlay_bytes, allocated_bytes(home.overlay()));
  PGS_TRY(sight.wal_bytes, allocated_bytes(home.wal()));
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
