// What stock PostgreSQL makes of its own base backup and its own copy of the WAL, to hold pgstrata against: a
// base backup by the low-level API, and an archive that archive_command fills. It needs no client programs, so
// it works on every major.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "support/child_process.h"
#include "support/postgres_server.h"
#include "support/random_workload.h"

namespace pgstrata::testing {

// As it is told to pgstrata and to PostgreSQL.
struct StockTarget {
  std::string flag;
  std::string value;
  std::string setting;
  std::string value_of_setting;
};
[[nodiscard]] StockTarget stock_target_lsn(const std::string& lsn);
// As server_time() gives it.
[[nodiscard]] StockTarget stock_target_time(const std::string& time);

// Borrows both. Failures throw TestFailure.
class StockRecovery {
 public:
  // Before the source is started.
  StockRecovery(PostgresServer& source, const TemporaryDirectory& directory);

  // While `meanwhile` is called again and again, until its copy is whole and `and_until` says so.
  void take_base_backup(const std::function<void()>& meanwhile, const std::function<bool()>& and_until);
  // All WAL so far is in the archive.
  void finish_archive() const;

  // Into a new folder.
  void recover(const std::filesystem::path& folder, const StockTarget& target) const;
  [[nodiscard]] std::vector<std::string> settings(const StockTarget& target) const;

 private:
  void finish_base(const std::string& label) const;

  PostgresServer& source_;
  std::filesystem::path archive_;
  std::filesystem::path base_;
  std::filesystem::path copy_log_;
};

// nextval() writes WAL for 32 values at once and again after each checkpoint. Where several backups each began
// with one of their own, WAL says from here on where each sequence is, and to all the same.
void log_every_sequence(const PostgresServer& source);

// Recovers and stops there. Every page it changed is on disk then, provided that it replays a checkpoint
// record: the restartpoint at its end is one, and it makes none before.
void recover_and_stop(const std::filesystem::path& folder, std::vector<std::string> settings);

// Of what was recovered and stopped: promoted where it is, and what SQL sees then.
[[nodiscard]] std::vector<std::string> promoted_content(const std::filesystem::path& folder,
                                                        std::vector<std::string> settings);

}  // namespace pgstrata::testing
