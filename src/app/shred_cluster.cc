#include "app/shred_cluster.h"

#include "app/copy_repository.h"
#include "base/log.h"
#include "branch/branch.h"
#include "catalog/hold.h"
#include "catalog/retention_floor.h"
#include "repo/damage.h"
#include "repo/lease.h"

namespace pgstrata {
namespace {

// Whoever writes into a cluster holds one of these.
constexpr const char* all_lease_names[] = {stream_lease_name, backup_lease_name, prune_lease_name,
                                           copy_lease_name};

struct Standing {
  bool has_key = false;
  std::optional<ClusterSpace> space;  // when the key opens
};

// Errors: not_found; what is no lasting damage of the key.
Result<Standing> look_at(const Repository& repository, const std::string& cluster) {
  auto space = repository.open_cluster(cluster);
  if (space.has_value()) return Standing{.has_key = true, .space = *std::move(space)};
  if (is_lasting_damage(space.error())) {
    log_warning("{}", space.error().describe());
    return Standing{.has_key = true, .space = {}};
  }
  if (space.error().code() != ErrorCode::not_found) return std::unexpected(std::move(space).error());
  PGS_TRY(const ObjectTally left, tally_cluster(repository.store(), cluster));
  if (left.objects == 0) return std::unexpected(std::move(space).error());
  return Standing{};
}

// When the last of what can be restored was stored, by the store's clock.
Result<Timestamp> newest_object(const ClusterSpace& space) {
  Timestamp newest;
  for (const std::string_view prefix : {"snapshots/", "wal/"}) {
    PGS_TRY(const auto objects, space.list(prefix));
    for (const auto& object : objects) newest = std::max(newest, object.modified);
  }
  return newest;
}

// A clock of ours that is ahead lets nothing go: the lease that was just taken bears the store's time.
Timestamp no_later_than_the_store(const ClusterSpace& space, Timestamp now) {
  const auto lease = space.store().stat(space.object_name(fmt::format("leases/{}", prune_lease_name)));
  return lease ? std::min(now, lease->modified) : now;
}

// Damage in what is to go is no reason to keep it.
template <class T>
Result<std::optional<T>> unless_damaged(Result<T> result) {
  if (result.has_value()) return std::optional(*std::move(result));
  if (!is_damage(result.error())) return std::unexpected(std::move(result).error());
  return std::optional<T>();
}

Result<void> add_contents(const ClusterSpace& space, ShredPreview& preview,
                          const Cancellation& cancellation) {
  PGS_TRY(preview.record, unless_damaged(get_cluster_record(space)));
  if (!preview.record) return {};
  PGS_TRY(auto coverage,
          unless_damaged(compute_coverage(space, preview.record->wal_segment_bytes, cancellation)));
  if (!coverage) return {};
  preview.snapshots = coverage->snapshots.size() + coverage->damaged_snapshots.size();
  preview.ranges = std::move(coverage->ranges);
  return {};
}

Result<std::vector<std::string>> branches_of(const Repository& repository, const std::string& cluster,
                                             const std::filesystem::path& state_directory) {
  PGS_TRY(const auto branches, list_branches(state_directory, cluster));
  std::vector<std::string> names;
  for (const BranchSight& branch : branches) {
    if (branch.record.repository == repository.store().describe()) names.push_back(branch.record.name);
  }
  return names;
}

Result<std::vector<Lease>> take_all_leases(const ClusterSpace& space, const Clock& clock,
                                           const Cancellation& cancellation) {
  std::vector<Lease> leases;
  for (const char* name : all_lease_names) {
    PGS_TRY(Lease lease, acquire_to_write(space, name, "shred", clock, {.cancellation = &cancellation}));
    leases.push_back(std::move(lease));
  }
  return leases;
}

constexpr const char* after_the_key =
    "the cluster is shredded, its key is gone; removing what is left of it, which the same command goes on "
    "with";

// Errors: busy, when one was lost meanwhile.
Result<void> check_all(const std::vector<Lease>& leases) {
  for (const Lease& lease : leases) PGS_CHECK(lease.check());
  return {};
}

Result<void> check_nothing_left(const Repository& repository, const std::string& cluster) {
  PGS_TRY(const ObjectTally left, tally_cluster(repository.store(), cluster));
  if (left.objects == 0) return {};
  return std::unexpected(
      make_error(ErrorCode::busy,
                 "the key of cluster {} is destroyed, but {} more objects were written meanwhile", cluster,
                 left.objects)
          .with_hint(fmt::format("Stop whatever still writes and run `pgstrata shred {}` again.", cluster)));
}

}  // namespace

Result<ShredPreview> preview_shredding(const Repository& repository, const std::string& cluster,
                                       const std::filesystem::path& state_directory,
                                       const Cancellation& cancellation) {
  PGS_CHECK(check_cluster_name(cluster));
  PGS_TRY(const Standing standing, look_at(repository, cluster));
  ShredPreview preview{.cluster = cluster,
                       .has_key = standing.has_key,
                       .readable = standing.space.has_value(),
                       .stored = {},
                       .record = {},
                       .snapshots = 0,
                       .ranges = {},
                       .branches = {}};
  PGS_TRY(preview.stored, tally_cluster(repository.store(), cluster));
  PGS_TRY(preview.branches, branches_of(repository, cluster, state_directory));
  if (standing.space) PGS_CHECK(add_contents(*standing.space, preview, cancellation));
  return preview;
}

Result<void> check_shredding_allowed(const ClusterSpace& space, const Clock& clock) {
  const Timestamp now = no_later_than_the_store(space, clock.now());
  PGS_TRY(const HoldList holds, list_holds(space));
  if (!holds.damaged.empty()) return std::unexpected(holds.damaged.front().error);
  for (const Hold& hold : holds.holds) {
    if (hold.kind != HoldKind::operator_ || has_ended(hold, now)) continue;
    return std::unexpected(
        make_error(ErrorCode::failed, "hold {} keeps cluster {}: {}", hold.id, space.name(), hold.reason)
            .with_hint(fmt::format("If that is over, `pgstrata hold remove {} {}`.", space.name(), hold.id)));
  }
  PGS_TRY(const auto floor, get_retention_floor(space));
  if (floor.count() == 0) return {};
  PGS_TRY(const Timestamp newest, newest_object(space));
  if (newest + floor <= now) return {};
  return fail(ErrorCode::failed, "cluster {} has a retention floor: nothing of it may be removed before {}",
              space.name(), newest + floor);
}

Result<ShredOutcome> shred_cluster(const Repository& repository, const std::string& cluster,
                                   const Clock& clock, const Cancellation& cancellation,
                                   const std::function<void(const ObjectTally&)>& on_progress) {
  PGS_CHECK(check_cluster_name(cluster));
  ObjectStore& store = repository.store();
  PGS_TRY(const Standing standing, look_at(repository, cluster));
  ShredOutcome outcome{.key_destroyed = standing.has_key, .removed = {}};
  {
    std::vector<Lease> leases;
    if (standing.space) {
      PGS_TRY(leases, take_all_leases(*standing.space, clock, cancellation));
      PGS_CHECK(check_shredding_allowed(*standing.space, clock));
      PGS_CHECK(check_all(leases));
    }
    PGS_CHECK(destroy_cluster_key(store, cluster));
    PGS_TRY(outcome.removed,
            remove_cluster_objects(store, cluster, RemovedPart::all_but_leases, cancellation, on_progress)
                .context(after_the_key));
    // Held to the end: nobody begins anything. Giving them back writes them once more.
  }
  PGS_TRY(const ObjectTally leases,
          remove_cluster_objects(store, cluster, RemovedPart::leases, cancellation).context(after_the_key));
  outcome.removed.objects += leases.objects;
  outcome.removed.bytes += leases.bytes;
  PGS_CHECK(check_nothing_left(repository, cluster));
  return outcome;
}

}  // namespace pgstrata
