#include "roll/hidden_branch.h"

#include "base/log.h"
#include "branch/branch_setup.h"
#include "branch/compute_settings.h"
#include "branch/left_server.h"
#include "branch/mount_process.h"
#include "branch/server_user.h"
#include "pg/server/server_log.h"
#include "restore/start_restored.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

// Hidden branches are kept as others are, in a state folder of their own.
std::filesystem::path rolls_folder(const RollRequest& request) {
  return request.state_directory / "rolls";
}

// What is locked belongs to a roll at work; the lease of whoever makes snapshots keeps others from making one
// just now. Also what has no record: one that was cut short before it had
// one, or while it was taken away.
Result<void> remove_leftovers(const RollRequest& request) {
  const auto folder = BranchHome(rolls_folder(request), request.space.name(), "any").path().parent_path();
  const auto entries = list_directory(folder);
  if (!entries && entries.error().code() == ErrorCode::not_found) return {};
  if (!entries) return std::unexpected(entries.error());
  for (const auto& entry : *entries) {
    if (entry.kind != FileType::directory) continue;
    const BranchHome home(rolls_folder(request), request.space.name(), entry.name);
    const auto lock = LockFile::try_acquire(home.lock());
    if (!lock) continue;
    log_info("taking away what an interrupted roll left in \"{}\"", home.path().native());
    PGS_CHECK(remove_branch(home));
  }
  return {};
}

// With less it is full for whoever wants to write a page or a line of its log.
constexpr std::uintmax_t full_disk_bytes = 256 * 1024;

// Its logs go with it; where the disk is full, they do not even say so.
Error with_last_words(Error error, const BranchHome& home) {
  if (error.code() != ErrorCode::failed) return error;
  std::error_code ignored;
  const auto space = std::filesystem::space(home.path(), ignored);
  if (!ignored && space.available < full_disk_bytes) {
    return make_error(ErrorCode::no_space, "recover in \"{}\": No space left on device", home.path().native())
        .with_hint(
            "What recovery changes is kept there until it is stored: make room, or set another state_dir.");
  }
  const auto words = last_words_of_file(home.mount_log(), 0);
  return make_error(ErrorCode::failed, "{}{}{}", error.message(), words.empty() ? "" : "; its files: ", words)
      .with_hint(error.hint());
}

Result<ServerInstallation> find_installation(const BranchRecord& record) {
  return ServerInstallation::find(static_cast<int>(record.server_version / 10000));
}

}  // namespace

Result<std::unique_ptr<HiddenBranch>> HiddenBranch::make(const RollRequest& request, const RecoveryPlan& plan,
                                                         std::span<const NewTablespace> tablespaces) {
  PGS_CHECK(remove_leftovers(request));
  const auto name = fmt::format("roll-{}", ::getpid());
  const BranchHome home(rolls_folder(request), request.space.name(), name);
  PGS_TRY(const auto owner, choose_owner(home.data()));
  PGS_TRY(auto record, branch_record_of(request.space, plan, tablespaces, name, request.repository));
  record.user = owner.name;
  record.read_only = true;  // it stays in recovery
  record.disposable = true;
  PGS_TRY(record.port, choose_port(request.state_directory));
  record.settings = {{"listen_addresses", ""}, {"hot_standby", "off"}};
  PGS_TRY(auto lock, make_branch_folder(home, owner));
  auto branch = std::unique_ptr<HiddenBranch>(new HiddenBranch(home, std::move(record), std::move(lock)));
  PGS_CHECK(put_branch_record(home, branch->record_));
  PGS_CHECK(mount_at_moment(request.space, plan.snapshot, home, branch->record_, request.cancellation));
  return branch;
}

HiddenBranch::~HiddenBranch() {
  if (const auto removed = remove_branch(home_); !removed)
    log_warning("\"{}\" could not be taken away: {}", home_.path().native(), removed.error().describe());
}

Result<ControlFile> HiddenBranch::recover(Lsn checkpoint, const Cancellation& cancellation) {
  PGS_TRY(const auto installation, find_installation(record_));
  // No standby: where WAL is damaged, one would wait for better for ever.
  PGS_CHECK(as_server_user(record_, [this] { return write_file(home_.data() / "recovery.signal", {}); }));
  PGS_TRY(auto options, compute_options(home_, record_, installation, true));
  options.settings.emplace_back("restore_command", "false");  // all of it is in pg_wal
  // It shuts down there by itself, and makes a restartpoint of that checkpoint.
  options.settings.emplace_back("recovery_target_lsn", to_string(checkpoint));
  options.settings.emplace_back("recovery_target_inclusive", "on");
  options.settings.emplace_back("recovery_target_action", "shutdown");
  PGS_TRY(auto server, ServerInstance::start(installation, options));
  PGS_CHECK(note_server_process(home_, server.pid()));
  if (auto ended = server.wait_until_ended(cancellation); !ended)
    return std::unexpected(with_last_words(std::move(ended).error(), home_));
  PGS_TRY(const auto bytes, read_regular_file(home_.data() / "global" / "pg_control", 65536));
  return parse_control_file(bytes);
}

Result<std::uint32_t> HiddenBranch::server_version() const {
  PGS_TRY(const auto installation, find_installation(record_));
  return installation.version();
}

Result<void> HiddenBranch::unmount() {
  return stop_mount_process(home_, false);
}

}  // namespace pgstrata
