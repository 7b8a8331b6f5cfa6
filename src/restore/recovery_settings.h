// What tells PostgreSQL to recover, and how far: recovery.signal and a block at the end of
// postgresql.auto.conf.
//
// The block sets restore_command, recovery_target_timeline (a number: 'latest' would follow timelines that
// appear later), the one recovery_target_… of the plan, and recovery_target_action = 'promote'.
//
// Whatever else postgresql.conf may still say of an earlier recovery is set to nothing: the other kinds of
// recovery_target, with which it would stop elsewhere or refuse to start; recovery_min_apply_delay, with
// which it would wait; recovery_end_command and archive_cleanup_command, which would work on the source's
// archive.
//
// It sets hot_standby = off: where the source's max_connections or the like was raised after the backup,
// recovery with hot_standby stops for ever at the record that says so (13: ends there). The server takes no
// connections before recovery has ended, then. Not so when the operator's settings have hot_standby, or
// recovery_target_action = pause, which needs it.
//
// And synchronous_standby_names = '', without which a restored copy of a cluster with synchronous standbys
// would let every commit wait for standbys it does not have. That one stays, over what postgresql.conf says,
// with a comment on how to undo it; not so when the operator's settings have it. In the same way archive_mode
// = 'off': a copy must not write into the archive of the cluster it came from; and where the source has an
// external_pid_file, that is left empty.
//
// The operator's own settings come last. Older settings of the same names (but hot_standby) and the block of
// an earlier restore are removed from the file; standby.signal is removed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pg/format/control_file.h"
#include "restore/recovery_plan.h"
#include "restore/target_directory.h"

namespace pgstrata {

struct RecoverySettings {
  std::filesystem::path program;  // absolute path of pgstrata
  std::vector<std::pair<std::string, std::string>> operator_settings;
  bool has_external_pid_file = false;  // the source's configuration: write_recovery_settings finds it out
};

// What recovery does at the plan's stop point by the operator's settings.
enum class AtTarget { promote, pause, shutdown };
[[nodiscard]] AtTarget action_at_target(
    const std::vector<std::pair<std::string, std::string>>& operator_settings);

// The block alone, for tests and messages. Error: usage, when an operator's setting is no setting's name, or
// one of those that decide where recovery ends.
[[nodiscard]] Result<std::string> recovery_settings_block(const RecoveryPlan& plan,
                                                          const RecoverySettings& settings);

// `old` without what recovery_settings_block says again and without an earlier block.
[[nodiscard]] std::string without_recovery_settings(std::string_view old);

// Writes both files, durably, and warns of places outside of the directory that a server on it would use all
// the same. To be called before the directory can be started.
Result<std::vector<std::string>> write_recovery_settings(const TargetDirectory& data,
                                                         const RecoveryPlan& plan, RecoverySettings settings);

// Once recovery has ended: takes what only recovery needs and our hot_standby out of the block again and
// leaves the rest, so that nothing refers to the kit.
Result<void> end_recovery_settings(const TargetDirectory& data);

// Lines of configuration with the limits that the source had: recovery demands no less of a server.
[[nodiscard]] std::string source_limits(const ControlFile& control);

// Debian keeps postgresql.conf and pg_hba.conf outside of the data directory, so a backup has none. Writes
// minimal ones where they are missing: limits as the source had them, connections by local socket with peer
// authentication and none by TCP. Says which files it wrote.
Result<std::vector<std::string>> write_missing_configuration(const TargetDirectory& data,
                                                             const ControlFile& control);

}  // namespace pgstrata
