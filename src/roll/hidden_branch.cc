#include "roll/hidden_branch.h"

#include "base/log.h"
#include "branch/branch_setup.h"
#include "branch/compute_settings.h"
#include "branch/mount_process.h"
#include "restore/start_restored.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

// Hidden branches are kept as others are, in a state folder of their own.
std::filesystem::path rolls_folder(const RollRequest& request) {
  return request.state_directory / "rolls";
}

// What is locked belongs to a roll at work.
Result<void> remove_leftovers(const RollRequest& request) {
  PGS_TRY(const auto names, branch_names(rolls_folder(request), request.space.name()));
  for (const auto& name : names) {
    const BranchHome home(rolls_folder(request), request.space.name(), name);
    const auto lock = lock_branch(home);
    if (!lock) continue;
    log_info("taking away what an interrupted roll left in \"{}\"", home.path().native());
    PGS_CHECK(stop_branch_processes(home, StopMode::immediate));
    PGS_CHECK(remove_branch_folder(home));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<HiddenBranch>> HiddenBranch::make(const RollRequest& request,
                                                         const RecoveryPlan& plan) {
  PGS_CHECK(remove_leftovers(request));
  const auto name = fmt::format("roll-{}", ::getpid());
  const BranchHome home(rolls_folder(request), request.space.name(), name);
  PGS_TRY(const auto owner, choose_owner(home.data()));
  PGS_TRY(auto record, branch_record_of(request.space, plan, name, request.repository));
  record.user = owner.name;
  record.read_only = true;  // it stays in recovery
  PGS_TRY(record.port, choose_port(request.state_directory));
  record.settings = {{"listen_addresses", ""}, {"hot_standby", "off"}};
  PGS_CHECK(make_branch_folders(home, owner));
  PGS_CHECK(put_branch_record(home, record));
  PGS_TRY(auto lock, lock_branch(home));
  auto branch = std::unique_ptr<HiddenBranch>(new HiddenBranch(home, std::move(record), std::move(lock)));
  PGS_CHECK(mount_at_moment(request.space, plan, home, branch->record_));
  return branch;
}

HiddenBranch::~HiddenBranch() {
  const auto stopped = stop_branch_processes(home_, StopMode::immediate);
  const auto removed = stopped ? remove_branch_folder(home_) : stopped;
  if (!removed)
    log_warning("\"{}\" could not be taken away: {}", home_.path().native(), removed.error().describe());
}

Result<ControlFile> HiddenBranch::recover(Lsn checkpoint, const Cancellation& cancellation) {
  PGS_TRY(const auto installation,
          ServerInstallation::find(static_cast<int>(record_.server_version / 10000)));
  PGS_CHECK(write_file(home_.data() / "standby.signal", {}));
  auto options = compute_options(home_, record_, true);
  // It shuts down there by itself, and makes a restartpoint of that checkpoint.
  options.settings.emplace_back("recovery_target_lsn", to_string(checkpoint));
  options.settings.emplace_back("recovery_target_inclusive", "on");
  options.settings.emplace_back("recovery_target_action", "shutdown");
  PGS_TRY(auto server, ServerInstance::start(installation, options));
  PGS_CHECK(server.wait_until_ended(cancellation));
  PGS_TRY(const auto bytes, read_file(home_.data() / "global" / "pg_control"));
  return parse_control_file(bytes);
}

Result<void> HiddenBranch::unmount() {
  return stop_mount_process(home_, false);
}

}  // namespace pgstrata
