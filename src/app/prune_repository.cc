#include "app/prune_repository.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/retention_floor.h"

namespace pgstrata {
namespace {

Result<PrunedCluster> prune_one(const Repository& repository, const std::string& name, RetentionPolicy policy,
                                bool dry_run, const Clock& clock, const Cancellation& cancellation) {
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(repository, name));
  std::optional<Lease> lease;
  if (dry_run) {
    PGS_TRY(const auto recorded, get_retention_floor(cluster.space));
    policy.floor = std::max(policy.floor, recorded);
  } else {
    PGS_TRY(lease, acquire_to_write(cluster.space, prune_lease_name, "prune", clock,
                                    {.cancellation = &cancellation}));
    PGS_TRY(policy.floor, raise_retention_floor(cluster.space, policy.floor));
  }
  const PruneRequest request{.wal_segment_bytes = cluster.record.wal_segment_bytes,
                             .policy = policy,
                             .dry_run = dry_run,
                             .clock = clock,
                             .cancellation = cancellation,
                             .still_allowed = [&lease] { return lease->check(); }};
  PGS_TRY(auto report, prune_cluster(cluster.space, request));
  return PrunedCluster{name, policy, std::move(report)};
}

}  // namespace

RetentionPolicy RetentionPolicies::of(const std::string& cluster) const {
  const auto own = by_cluster.find(cluster);
  return own == by_cluster.end() ? general.value_or(RetentionPolicy()) : own->second;
}

Result<std::vector<PrunedCluster>> prune_repository(const Repository& repository,
                                                    const std::optional<std::string>& cluster,
                                                    const RetentionPolicies& policies, bool dry_run,
                                                    const Clock& clock, const Cancellation& cancellation) {
  std::vector<std::string> names;
  if (cluster) {
    names.push_back(*cluster);
  } else {
    PGS_TRY(names, repository.clusters());
  }
  if (!dry_run) warn_where_one_must_write(repository.store());
  PGS_TRY(const auto all, repository.clusters());
  for (const auto& [name, policy] : policies.by_cluster) {
    if (std::ranges::find(all, name) == all.end())
      log_warning("the settings have a retention of cluster \"{}\", which is not in this repository", name);
  }
  std::vector<PrunedCluster> pruned;
  for (const std::string& name : names) {
    PGS_TRY(auto one, prune_one(repository, name, policies.of(name), dry_run, clock, cancellation));
    pruned.push_back(std::move(one));
  }
  return pruned;
}

}  // namespace pgstrata
