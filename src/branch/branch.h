// A branch's life: made, stopped, started, taken away. Each call is one command's work and holds the branch's
// lock; several processes may call at once.
#pragma once

#include <functional>
#include <optional>

#include "branch/compute.h"
#include "repo/repository.h"

namespace pgstrata {

enum class BranchState {
  unfinished,  // on the way to its moment, or cut short there: start it again
  running,
  recovering,  // its server is on the way
  stopped,
  broken,    // it is meant to run, and its server or its file system does not: start it
  promoted,  // a data directory has taken its place
};
[[nodiscard]] std::string_view to_string(BranchState state);

struct BranchSight {
  BranchRecord record;
  BranchState state = BranchState::stopped;
  std::uint64_t overlay_bytes = 0;  // on the disk, without its WAL
  std::uint64_t wal_bytes = 0;
  std::string trouble = {};  // of one that is broken: what it lacks
};

struct NewBranch {
  std::filesystem::path state_directory;
  std::string name;
  std::string repository;  // its location, absolute
  bool read_only = false;
  std::optional<Timestamp> expires;
  std::vector<std::pair<std::string, std::string>> settings;  // of its server, over all others
  std::string hold = {};                                      // in the repository, on what the plan names
};

// Makes it at the plan's moment; open when it returns. A creation that fails leaves nothing behind. Errors:
// usage (name), already_exists, unsupported (no FUSE), not_found (no PostgreSQL of that major), those of
// start_mount_process and recover_compute.
Result<BranchRecord> create_branch(const ClusterSpace& space, const RecoveryPlan& plan,
                                   const NewBranch& branch, const ComputeOptions& options,
                                   const Cancellation& cancellation);

// Brings it back, whatever ended it; one that runs is no error. One that has never come to its moment, since
// its creation or a reset was cut short, is brought there. Errors: not_found, busy; failed (it was promoted);
// as for create.
Result<BranchRecord> start_branch(const ClusterSpace& space, const BranchHome& home,
                                  const ComputeOptions& options, const Cancellation& cancellation);
// Back to its moment, or to the plan's where there is one, with nothing of what was written; name, port,
// settings and expiry stay. Cut short, it is unfinished. Errors: as for start.
Result<BranchRecord> reset_branch(const ClusterSpace& space, const BranchHome& home, const RecoveryPlan* plan,
                                  const ComputeOptions& options, const Cancellation& cancellation);
// A read-only branch goes on to a later moment: `plan` is from its own snapshot. What its recovery has done
// so far stays. Errors: usage (it is not read-only, or the moment is an earlier one or on another timeline);
// as for start.
Result<BranchRecord> advance_branch(const ClusterSpace& space, const BranchHome& home,
                                    const RecoveryPlan& plan, const ComputeOptions& options,
                                    const Cancellation& cancellation);
// Errors: not_found, busy.
Result<BranchRecord> stop_branch(const BranchHome& home);
// With all that was written in it. Errors: as for stop.
Result<void> delete_branch(const BranchHome& home);
// When it is to go by itself; nothing: never. Errors: not_found, busy.
Result<BranchRecord> set_expiration(const BranchHome& home, std::optional<Timestamp> expires);
// The hold that it has in the repository from now on. Errors: not_found, busy.
Result<void> set_branch_hold(const BranchHome& home, std::string_view hold);
// Those of a cluster whose time is over, as they were. Each is told in the log, also one that cannot be
// deleted; one at which another command is at work is left to the next call, and so is `spared`.
std::vector<BranchRecord> delete_expired_branches(const std::filesystem::path& state_directory,
                                                  std::string_view cluster, std::string_view spared,
                                                  Timestamp now);
// It must be stopped. Errors: usage, already_exists, busy (it runs).
Result<void> rename_branch(const std::filesystem::path& state_directory, const BranchHome& home,
                           const std::string& new_name);

// Errors: not_found, damaged.
Result<BranchSight> look_at_branch(const BranchHome& home);
// Of a cluster, by name. One that cannot be read is left out, with a word in the log.
Result<std::vector<BranchSight>> list_branches(const std::filesystem::path& state_directory,
                                               std::string_view cluster);

}  // namespace pgstrata
