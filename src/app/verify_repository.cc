#include "app/verify_repository.h"

#include <algorithm>

namespace pgstrata {

namespace {

constexpr const char* closed_hint = "Check owner and permissions there: this user may not look into it.";

DamagedObject unreadable(std::string name, const Error& error) {
  return {.name = std::move(name),
          .what = error.describe(),
          .snapshots = {},
          .files = {},
          .cure = is_lasting_damage(error) ? std::string() : error.hint()};
}

// "clusters/app".
std::string folder_of(const std::string& cluster) {
  std::string folder = cluster_object_name(cluster, "");
  folder.pop_back();
  return folder;
}

// An `add` that was cut short leaves a key and nothing else: no damage.
Result<bool> holds_work(const ClusterSpace& space) {
  for (const std::string_view prefix : {"snapshots/", "wal/", "packs/"}) {
    PGS_TRY(const auto objects, space.list(prefix));
    if (!objects.empty()) return true;
  }
  return false;
}

// Of a rotation that has settled nothing depends on it; only who begins another needs it whole.
Result<void> verify_rotation(const Repository& repository, VerifyOutcome& outcome) {
  const auto unfinished = repository.key_rotation_unfinished();
  if (unfinished) return {};
  if (unfinished.error().code() != ErrorCode::damaged) return std::unexpected(unfinished.error());
  outcome.damaged_keys.push_back({.name = "rotation",
                                  .what = unfinished.error().describe(),
                                  .snapshots = {},
                                  .files = {},
                                  .cure = unfinished.error().hint()});
  return {};
}

// Why nothing of the cluster can be looked at; nothing when it has been looked at.
Result<std::optional<DamagedObject>> verify_one(const Repository& repository, const std::string& name,
                                                const VerifyOptions& options,
                                                const Cancellation& cancellation, VerifyOutcome& outcome) {
  const auto space = repository.open_cluster(name);
  if (!space) {
    if (space.error().code() != ErrorCode::damaged) return std::unexpected(space.error());
    return unreadable(cluster_object_name(name, "key"), space.error());
  }
  const auto record = get_cluster_record(*space);
  if (record) {
    PGS_TRY(VerifyReport report, verify_cluster(*space, record->wal_segment_bytes, options, cancellation));
    outcome.clusters.push_back({.name = name, .report = std::move(report)});
    return std::nullopt;
  }
  if (record.error().code() == ErrorCode::not_found) {
    PGS_TRY(const bool work, holds_work(*space));
    if (!work) return std::nullopt;
    return unreadable(cluster_object_name(name, "cluster"),
                      make_error(ErrorCode::damaged, "it is missing: run `pgstrata add {}` again", name));
  }
  if (record.error().code() != ErrorCode::damaged) return std::unexpected(record.error());
  return unreadable(cluster_object_name(name, "cluster"), record.error());
}

}  // namespace

bool VerifyOutcome::sound() const {
  return damaged_keys.empty() && unreadable_clusters.empty() &&
         std::ranges::all_of(clusters, [](const VerifiedCluster& cluster) { return cluster.report.sound(); });
}

Result<VerifyOutcome> verify_repository(const Repository& repository,
                                        const std::optional<std::string>& cluster,
                                        const VerifyOptions& options, const Cancellation& cancellation) {
  VerifyOutcome outcome;
  PGS_TRY(outcome.damaged_keys, verify_key_slots(repository));
  PGS_CHECK(verify_rotation(repository, outcome));
  std::vector<std::string> names;
  if (cluster) {
    names.push_back(*cluster);
  } else {
    PGS_TRY(names, repository.clusters());
    PGS_TRY(outcome.foreign, repository.foreign_beside_clusters());
    PGS_TRY(const auto keyless, repository.clusters_without_key());
    for (const std::string& name : keyless) {
      outcome.unreadable_clusters.push_back(
          unreadable(cluster_object_name(name, "key"),
                     make_error(ErrorCode::damaged, "it is missing, and with it all of cluster {}", name)));
    }
  }
  for (const std::string& name : names) {
    auto failed = verify_one(repository, name, options, cancellation, outcome);
    // A folder of it that this user may not enter: the other clusters' may be open.
    if (!failed && failed.error().code() == ErrorCode::permission)
      failed = unreadable(folder_of(name), std::move(failed).error().with_hint(closed_hint));
    if (!failed) return std::unexpected(std::move(failed).error());
    if (*failed) outcome.unreadable_clusters.push_back(**std::move(failed));
  }
  return outcome;
}

}  // namespace pgstrata
