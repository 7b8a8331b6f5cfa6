// A branch's life: made, stopped, started, taken away. Each call is one command's work and holds the branch's
// lock; several processes may call at once.
#pragma once

#include <functional>
#include <optional>

#include "branch/compute.h"
#include "repo/repository.h"

namespace pgstrata {

enum class BranchState {
  creating,  // or its creation was cut short
  running,
  recovering,  // its server is on the way
  stopped,
  broken,  // it is meant to run, and its server or its file system does not: start it
};
[[nodiscard]] std::string_view to_string(BranchState state);

struct BranchSight {
  BranchRecord record;
  BranchState state = BranchState::stopped;
  std::uint64_t overlay_bytes = 0;  // on the disk
};

struct NewBranch {
  std::filesystem::path state_directory;
  std::string name;
  std::string repository;  // its location, absolute
  bool read_only = false;
  std::optional<Timestamp> expires;
  std::vector<std::pair<std::string, std::string>> settings;  // of its server, over all others
};

// Makes it at the plan's moment; open when it returns. A creation that fails leaves nothing behind. Errors:
// usage (name), already_exists, unsupported (no FUSE), not_found (no PostgreSQL of that major), those of
// start_mount_process and recover_compute.
Result<BranchRecord> create_branch(const ClusterSpace& space, const RecoveryPlan& plan,
                                   const NewBranch& branch, const ComputeOptions& options,
                                   const Cancellation& cancellation);

// Brings it back, whatever ended it; one that runs is no error. Errors: not_found, busy; as for create.
Result<BranchRecord> start_branch(const ClusterSpace& space, const BranchHome& home,
                                  const ComputeOptions& options, const Cancellation& cancellation);
// Errors: not_found, busy.
Result<BranchRecord> stop_branch(const BranchHome& home);
// With all that was written in it. Errors: as for stop.
Result<void> delete_branch(const BranchHome& home);
// It must be stopped. Errors: usage, already_exists, busy (it runs).
Result<void> rename_branch(const std::filesystem::path& state_directory, const BranchHome& home,
                           const std::string& new_name);

// Errors: not_found, damaged.
Result<BranchSight> look_at_branch(const BranchHome& home);
// Of a cluster, by name. One that cannot be read is left out, with a word in the log.
Result<std::vector<BranchSight>> list_branches(const std::filesystem::path& state_directory,
                                               std::string_view cluster);

}  // namespace pgstrata
