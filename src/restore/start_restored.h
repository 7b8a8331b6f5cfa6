// Starts a server on a restored directory, waits until it accepts writes, and checks that recovery ended
// where the plan says. Or, where it is told to pause at the target, waits until it has.
//
// PostgreSQL refuses by itself to open a cluster whose recovery target it did not reach. The check here
// covers the rest: that the WAL was all there is learned from the timeline history that the promotion wrote.
//
// The server is left running, independent of this process, also after cancellation or a time limit. Its log
// goes to one file, pgstrata_restore.log in the data directory (logging_collector is off until it is started
// otherwise), so that what it says can be passed on. That file belongs to the server's user, whoever
// restores: a later backup of the cluster reads it.
#pragma once

#include <functional>
#include <optional>

#include "pg/server/server_instance.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

struct StartProgress {
  Lsn replaying;  // start of the segment that recovery asked for last
  Lsn end;        // of the plan
};

struct StartRestoredOptions {
  std::filesystem::path data_directory;
  // Name and value, over what the directory's own configuration says.
  std::vector<std::pair<std::string, std::string>> settings;
  std::chrono::milliseconds limit = std::chrono::hours(24);
  bool pauses = false;  // at the plan's stop point, by the directory's settings, and is open for reads then
  std::function<void(const StartProgress&)> on_progress;  // some times a second
};

struct StartedCluster {
  pid_t process = 0;
  bool paused = false;    // recovery goes on, or rather to its end, when it is told to
  TimelineId timeline;    // the new one; when paused, the plan's
  Lsn recovered_to;       // where the new one begins; when paused, where the plan says
  Timestamp last_commit;  // the plan's
  std::optional<ConnectionUrl> url;
  std::filesystem::path log_file;
  std::vector<std::string> warnings;  // what could not be cleaned up, and what to do about it
};

// Kit and recovery settings are removed once recovery has ended; after a pause they are still needed. Errors:
// outside_coverage, when recovery ended before the target or before the cluster was consistent (that the plan
// was wrong about the WAL: the log's words are given); failed, with the log's last words, when the server
// ended for another reason, or recovery ended elsewhere than planned (the server is stopped then);
// unavailable (the limit), cancelled: the message says as which process the server goes on and where its log
// is; those of ServerInstance::start.
[[nodiscard]] Result<StartedCluster> start_restored(const RecoveryPlan& plan,
                                                    const ServerInstallation& installation,
                                                    const StartRestoredOptions& options,
                                                    const Cancellation& cancellation);

// The programs to start a restored directory with, and whether its user-to-be can run them: to be asked
// before anything is written. Errors: not_found (no such major on this machine); permission (the directory
// would belong to root, as whom PostgreSQL refuses to run).
[[nodiscard]] Result<ServerInstallation> installation_for(const RecoveryPlan& plan,
                                                          const std::filesystem::path& data_directory);

// Where the newest timeline of a data directory begins. Errors: not_found (no history: nothing was promoted),
// damaged.
struct TimelineStart {
  TimelineId timeline;
  Lsn start;
};
[[nodiscard]] Result<TimelineStart> newest_timeline_start(const std::filesystem::path& data_directory);

// Whether recovery that ended at `reached` ended where the plan says.
[[nodiscard]] bool ended_as_planned(const RecoveryPlan& plan, Lsn reached);

}  // namespace pgstrata
