// `copy`: a second repository with what this one holds, kept up to date by the same command.
#pragma once

#include "app/repository_access.h"
#include "catalog/cluster_copy.h"
#include "catalog/lease_names.h"

namespace pgstrata {

struct CopyRequest {
  std::vector<std::string> clusters;  // none: all
  RepositoryAccess to;                // with its own key
  std::function<void(const std::string& cluster, const CopyProgress&)> on_progress = {};
};

struct CopiedCluster {
  std::string name;
  CopyReport report;
};

struct CopyOutcome {
  std::string to;                                 // as open_store takes it
  bool made = false;                              // there was no repository
  std::optional<std::filesystem::path> key_file;  // that was generated for it
  std::vector<CopiedCluster> clusters;

  // Nothing was left out.
  [[nodiscard]] bool whole() const;
};

// Makes the repository there when there is none: with the key of `to`, as init does. Errors: usage (it is the repository
// itself; no key to make one with); already_exists (another cluster of that name is there); not_found (no such cluster);
// busy (another copy is under way); those of both stores; cancelled.
[[nodiscard]] Result<CopyOutcome> copy_repository(const Repository& from, const CopyRequest& request,
                                                  const Clock& clock, const Cancellation& cancellation);

}  // namespace pgstrata
