#include "e2e/stock_recovery.h"

#include <fstream>

#include "e2e/main_job_fixture.h"
#include "support/sql.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

namespace fs = std::filesystem;

void require_done(const ProgramRun& run) {
  if (run.exit_code != 0) throw TestFailure(run.describe());
}

}  // namespace

StockTarget stock_target_lsn(const std::string& lsn) {
  return {"--lsn", lsn, "recovery_target_lsn", lsn};
}

StockTarget stock_target_time(const std::string& time) {
  return {"--at", time, "recovery_target_time", time.substr(0, time.size() - 1) + "+00"};
}

StockRecovery::StockRecovery(PostgresServer& source, const TemporaryDirectory& directory)
    : source_(source),
      archive_(directory.make("archive")),
      base_(directory.path() / "base"),
      copy_log_(directory.path() / "copy.log") {
  source_.configure({"archive_mode = on",
                     fmt::format("archive_command = 'test ! -f {0}/%f && cp %p {0}/%f'", archive_.string())});
}

void StockRecovery::take_base_backup(const std::function<void()>& meanwhile,
                                     const std::function<bool()>& and_until) {
  SqlConnection session(source_.conninfo());
  const bool old_names = source_.major() < 15;
  session.run(old_names ? "SELECT pg_start_backup('oracle', true, false)"
                        : "SELECT pg_backup_start('oracle', true)");
  ChildProcess copy({.arguments = {"/bin/cp", "-a", source_.data_directory().string(), base_.string()},
                     .output = copy_log_,
                     .errors = copy_log_});
  while (copy.running() || !and_until()) meanwhile();
  // 1: files went away while they were copied, which recovery takes care of.
  if (copy.wait(std::chrono::seconds(1)) > 1) throw TestFailure("cp failed: " + read_text(copy_log_));
  finish_base(session.value(old_names ? "SELECT labelfile FROM pg_stop_backup(false, false)"
                                      : "SELECT labelfile FROM pg_backup_stop(false)"));
}

void StockRecovery::finish_base(const std::string& label) const {
  std::ofstream(base_ / "backup_label") << label;
  for (const auto* left_out : {"postmaster.pid", "postmaster.opts"}) fs::remove(base_ / left_out);
  for (const auto* emptied : {"pg_wal", "pg_replslot"}) {
    for (const auto& entry : fs::directory_iterator(base_ / emptied)) {
      if (entry.path().filename() != "archive_status") fs::remove_all(entry.path());
    }
  }
}

void StockRecovery::finish_archive() const {
  const std::string segment = source_.query_value("SELECT pg_walfile_name(pg_switch_wal())");
  wait_until("the archive's last segment", [&] {
    return source_.query_value(fmt::format(
               "SELECT coalesce(last_archived_wal >= '{}', false) FROM pg_stat_archiver", segment)) == "t";
  });
}

std::vector<std::string> StockRecovery::settings(const StockTarget& target) const {
  return {fmt::format("restore_command=cp {}/%f \"%p\"", archive_.string()), "archive_mode=off",
          "recovery_target_timeline=1", fmt::format("{}={}", target.setting, target.value_of_setting)};
}

void StockRecovery::recover(const fs::path& folder, const StockTarget& target) const {
  require_done(run_program({"/bin/cp", "-a", base_.string(), folder.string()}));
  require_done(run_program({"/usr/bin/touch", (folder / "recovery.signal").string()}));
  recover_and_stop(folder, settings(target));
}

void log_every_sequence(const PostgresServer& source) {
  source.query(
      "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, "
      "coalesce(last_value, start_value), last_value IS NOT NULL) FROM pg_sequences");
}

void recover_and_stop(const fs::path& folder, std::vector<std::string> settings) {
  settings.insert(settings.end(), {"recovery_target_action=shutdown", "hot_standby=off",
                                   "checkpoint_timeout=1h", "max_wal_size=10GB"});
  PostgresServer server = PostgresServer::adopt(folder, std::move(settings));
  if (server.try_start()) throw TestFailure("recovery did not stop at the target");
  const std::string log = server.log_text();
  if (log.find("shutdown at recovery target") == std::string::npos)
    throw TestFailure("recovery ended for another reason: " + log);
}

std::vector<std::string> promoted_content(const fs::path& folder, std::vector<std::string> settings) {
  settings.emplace_back("recovery_target_action=promote");
  PostgresServer server = PostgresServer::adopt(folder, std::move(settings));
  server.start();
  wait_until("the promotion", [&] { return server.query_value("SELECT pg_is_in_recovery()") == "f"; });
  return digest_of_all(server_place(server));
}

}  // namespace pgstrata::testing
