#include "app/cluster_status.h"

#include <algorithm>

#include "app/source_view.h"
#include "app/status_problems.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

// "packs/ab/cd" -> "packs".
std::string kind_of_object(std::string_view name) {
  return std::string(name.substr(0, name.find('/')));
}

Result<void> add_stored_sizes(const ClusterSpace& space, ClusterStatus& status) {
  PGS_TRY(const auto objects, space.list(""));
  for (const ObjectInfo& object : objects) {
    StoredSize& of_kind = status.stored[kind_of_object(object.name)];
    for (StoredSize* size : {&of_kind, &status.stored_total}) {
      ++size->objects;
      size->bytes += object.size_bytes;
    }
  }
  return {};
}

// A damaged lease hides who is at work, not what can be restored.
Result<std::optional<LeaseHolder>> readable_holder(const ClusterSpace& space, std::string_view name,
                                                   ClusterStatus& status) {
  auto holder = lease_holder(space, name);
  if (holder || holder.error().code() != ErrorCode::damaged) return holder;
  status.damaged_leases.push_back(std::move(holder).error());
  return std::nullopt;
}

void add_lag(ClusterStatus& status, Timestamp now) {
  const CoverageRange* range = newest_range(status.coverage);
  if (range == nullptr) return;
  // The range reaches further than its source's clock says where that stepped back. A mark claims a second
  // less than the clock said.
  const auto known = range->source_time.valid()
                         ? std::min(range->to_time, range->source_time + std::chrono::seconds(1))
                         : range->to_time;
  status.lag_time = std::max(now - known, std::chrono::microseconds(0));
  if (!status.source.reachable || status.source.timeline != range->timeline) return;
  const Lsn server = status.source.flush_position;
  status.lag_bytes = server > range->to_lsn ? server - range->to_lsn : 0;
}

}  // namespace

Result<ClusterStatus> cluster_status(const Repository& repository, const std::string& cluster,
                                     const StatusRequest& request, const Clock& clock,
                                     const Cancellation& cancellation) {
  PGS_TRY(const RegisteredCluster registered, open_registered_cluster(repository, cluster));
  const ClusterSpace& space = registered.space;
  ClusterStatus status;
  status.name = cluster;
  status.record = registered.record;
  // The source is asked first: what is stored when the repository is read is then no older than its answer.
  if (request.ask_source) {
    PGS_TRY(status.source, view_source(registered.record, cancellation));
  }
  PGS_TRY(status.coverage, compute_coverage(space, registered.record.wal_segment_bytes, cancellation));
  PGS_TRY(status.horizons, get_wal_horizons(space));
  PGS_TRY(status.replay_debts,
          replay_debts(space, registered.record.wal_segment_bytes, status.coverage, cancellation));
  PGS_TRY(status.stream, readable_holder(space, stream_lease_name, status));
  PGS_TRY(status.backup, readable_holder(space, backup_lease_name, status));
  PGS_CHECK(add_stored_sizes(space, status));
  add_lag(status, clock.now());
  status.problems = find_problems(status);
  return status;
}

namespace {

// Its record is verify's to look at.
void add_rotation_problem(const Repository& repository, RepositoryStatus& status) {
  const auto unfinished = repository.key_rotation_unfinished();
  if (!unfinished || !*unfinished) return;
  status.problems.push_back({.code = "key_rotation_unfinished",
                             .what = "a rotation of the repository's key is under way, or was cut short: the "
                                     "former key still has its place",
                             .hint = "Run `pgstrata key rotate` again where none is at work."});
}

}  // namespace

Result<RepositoryStatus> repository_status(const Repository& repository,
                                           const std::optional<std::string>& cluster,
                                           const StatusRequest& request, const Clock& clock,
                                           const Cancellation& cancellation) {
  RepositoryStatus status{.location = repository.store().describe(),
                          .encrypted = repository.encrypted(),
                          .free_bytes = {},
                          .clusters = {},
                          .problems = {}};
  if (const auto free = free_space_bytes(status.location)) status.free_bytes = *free;
  add_rotation_problem(repository, status);
  std::vector<std::string> names;
  if (cluster) {
    names.push_back(*cluster);
  } else {
    PGS_TRY(names, repository.clusters());
    PGS_TRY(const auto keyless, repository.clusters_without_key());
    for (const std::string& name : keyless) {
      status.problems.push_back(
          {.code = "cluster_unreadable",
           .what = fmt::format("cluster {}: its key is gone, and with it all that is left of it", name),
           .hint = fmt::format("Bring clusters/{0}/key back from a copy of the repository, if there is one; "
                               "`pgstrata shred {0}` removes the rest, also of a shred that was cut short.",
                               name)});
    }
  }
  for (const std::string& name : names) {
    auto one = cluster_status(repository, name, request, clock, cancellation);
    if (one.has_value()) {
      status.clusters.push_back(*std::move(one));
    } else if (cluster || one.error().code() == ErrorCode::cancelled) {
      return std::unexpected(std::move(one).error());
    } else {
      // One cluster that cannot be read does not hide the others.
      status.problems.push_back({.code = "cluster_unreadable",
                                 .what = fmt::format("cluster {}: {}", name, one.error().describe()),
                                 .hint = one.error().hint()});
    }
  }
  add_repository_problems(status);
  return status;
}

}  // namespace pgstrata
