// The server of a branch: how it is configured, how it recovers to the branch's moment, and how it is found.
//
// Its settings come by the command line, over whatever the source's configuration says, and its own
// pg_hba.conf lies beside the mount: what the data directory holds stays the source's. Over its socket, in a
// folder that only its user and root can enter, anybody who gets there may be any role; over TCP the roles
// and passwords are the source's.
//
// Recovery follows no target of PostgreSQL's: the WAL that the branch can see ends where the moment is, and
// what PostgreSQL is told is to promote once it is through. So it opens without the checkpoint that ends a
// recovery with a target, and without a process for each segment (it is a standby with nothing but pg_wal).
#pragma once

#include <chrono>

#include "base/cancellation.h"
#include "branch/branch_record.h"
#include "pg/format/control_file.h"
#include "pg/server/server_instance.h"

namespace pgstrata {

// Writes the configuration that lies beside the mount. `control` is the snapshot's.
Result<void> write_compute_configuration(const BranchHome& home, const BranchRecord& record,
                                         const ControlFile& control);

// Free on the loopback, and not another branch's.
[[nodiscard]] Result<std::uint16_t> choose_port(const std::filesystem::path& state_directory);
[[nodiscard]] bool is_port_free(std::uint16_t port);

struct ComputeOptions {
  std::chrono::milliseconds limit = std::chrono::hours(24);
  std::function<void(Lsn replayed)> on_progress = {};
};

// Lets it recover to the branch's moment; open when it returns, for writes, or for reads where the branch is
// read-only. It is left running. Errors: failed, with the log's last words; damaged, when WAL could not be
// read (the mount's log names it); outside_coverage, when recovery ended elsewhere than planned; cancelled;
// unavailable, when the time is over. After an error it is stopped.
Result<void> recover_compute(const BranchHome& home, const BranchRecord& record,
                             const ServerInstallation& installation, const ComputeOptions& options,
                             const Cancellation& cancellation);
// Starts it again; a read-only one stays at its moment, be that a later one by now. Errors: as above, but
// that it goes on after cancelled and unavailable.
Result<void> start_compute(const BranchHome& home, const BranchRecord& record,
                           const ServerInstallation& installation, const ComputeOptions& options,
                           const Cancellation& cancellation);
// None that runs is no error.
Result<void> stop_compute(const BranchHome& home, StopMode mode, std::chrono::milliseconds limit);

// Open for writes, after a recovery that ended at the branch's moment. Error: outside_coverage, when it ended
// elsewhere (it is stopped then).
[[nodiscard]] Result<bool> opened_as_planned(const BranchHome& home, const BranchRecord& record);

enum class ComputeState { stopped, recovering, reads, writes, stopping };
[[nodiscard]] Result<ComputeState> compute_state(const BranchHome& home);
// The one it comes to, waited for. Errors: unavailable, when the time is over; cancelled.
[[nodiscard]] Result<ComputeState> settled_compute_state(const BranchHome& home,
                                                         const ComputeOptions& options,
                                                         const Cancellation& cancellation);

// URLs, as psql and every driver take them: over the socket, as the cluster's superuser; and over TCP, where
// the application adds who it is.
[[nodiscard]] std::string socket_url(const BranchHome& home, const BranchRecord& record);
[[nodiscard]] std::string tcp_url(const BranchRecord& record);

}  // namespace pgstrata
