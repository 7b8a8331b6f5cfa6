// `shred`: the end of a cluster in the repository. Its key is destroyed, without which nothing of it can be read, then its
// objects go.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/registered_cluster.h"
#include "catalog/coverage.h"
#include "repo/cluster_removal.h"

namespace pgstrata {

// What would go, as far as it can be told.
struct ShredPreview {
  std::string cluster;
  bool has_key = false;   // else an earlier shred was cut short, or the key was lost
  bool readable = false;  // the key opens
  ObjectTally stored;
  std::optional<ClusterRecord> record;  // of a readable one that `add` finished and whose record is whole
  std::size_t snapshots = 0;
  std::vector<CoverageRange> ranges;
  std::vector<std::string> branches;  // on this machine, of this repository's cluster: none starts again
};

// Errors: not_found (no such cluster, and nothing left of one: the hint lists those there are); usage (its name);
// cancelled; those of the store.
[[nodiscard]] Result<ShredPreview> preview_shredding(const Repository& repository, const std::string& cluster,
                                                     const std::filesystem::path& state_directory,
                                                     const Cancellation& cancellation);

// What forbids to shred a cluster that can be read: an operator's hold, and a retention floor that something is younger than.
// Branches' and restores' holds do not. Times are the store's, where
// the lease `prune` was just taken. Errors: failed; damaged, when a hold or the floor does not open; those of the store.
[[nodiscard]] Result<void> check_shredding_allowed(const ClusterSpace& space, const Clock& clock);

struct ShredOutcome {
  bool key_destroyed = false;  // there was one
  ObjectTally removed;         // the key not among them
};

// Takes every lease of the cluster first. One that was cut short, or of a cluster without a key or with one that does not
// open, is finished by the same call. Errors: not_found; busy (somebody is at work, or wrote something meanwhile);
// cancelled (run it again: once the key is gone, it is only room that is left); those of check_shredding_allowed.
[[nodiscard]] Result<ShredOutcome> shred_cluster(
    const Repository& repository, const std::string& cluster, const Clock& clock,
    const Cancellation& cancellation, const std::function<void(const ObjectTally&)>& on_progress = {});

}  // namespace pgstrata
