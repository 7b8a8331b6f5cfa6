// A branch becomes a native data directory, with what was written in it, and serves while it does.
//
// The snapshot's files are restored at full speed beside the mount; what the branch has made of them is copied
// over while it goes on, twice, the second time little. Then its server stops, what is left is copied, and a
// server starts on the directory with the same port. The branch is gone once that one accepts writes.
#pragma once

#include "branch/branch.h"
#include "restore/restore_files.h"

namespace pgstrata {

struct PromotionOptions {
  std::filesystem::path directory;  // absolute; empty or not there
  std::vector<TablespaceMapping> tablespace_mappings;
  std::vector<std::pair<std::string, std::string>> settings;  // over the branch's
  bool start = true;
  std::chrono::milliseconds start_limit = std::chrono::minutes(10);
  std::function<void(const RestoreProgress&)> on_progress = {};
};

struct PromotedBranch {
  BranchRecord record;
  RestoredFiles files;
  pid_t process = 0;                 // of the server; 0: it was not to be started
  std::optional<ConnectionUrl> url;  // the same
  std::filesystem::path log_file;
  std::chrono::milliseconds interruption{0};  // without a server
};

// An interrupted promotion leaves the branch as it was, or to be started again, and the directory marked as
// unfinished. When the server does not start on the directory, which is whole by then, the branch serves
// again. Errors: usage (it is read-only); those of start_branch and restore_files; failed.
[[nodiscard]] Result<PromotedBranch> promote_branch(const ClusterSpace& space, const BranchHome& home,
                                                    const PromotionOptions& options,
                                                    const Cancellation& cancellation);

}  // namespace pgstrata
