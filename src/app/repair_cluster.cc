#include "app/repair_cluster.h"

#include "repo/lease.h"

namespace pgstrata {

namespace {

constexpr const char* repair_purpose = "repair";

Result<RepairReport> repair_with(const RegisteredCluster& cluster, const RepairRequest& request,
                                 bool stream_at_work, PublishingAllowed may_remove,
                                 const Cancellation& cancellation) {
  RepairOptions options;
  options.dry_run = request.dry_run;
  options.stream_at_work = stream_at_work;
  options.on_progress = request.on_progress;
  options.may_remove = std::move(may_remove);
  return repair_cluster(cluster.space, cluster.record.wal_segment_bytes, options, cancellation);
}

Result<RepairReport> rehearse(const RegisteredCluster& cluster, const RepairRequest& request,
                              const Cancellation& cancellation) {
  const auto stream = lease_holder(cluster.space, stream_lease_name);
  // Of a lease that cannot be read nobody knows.
  const bool at_work = !stream || stream->has_value();
  return repair_with(cluster, request, at_work, {}, cancellation);
}

}  // namespace

Result<RepairReport> repair_registered_cluster(const RegisteredCluster& cluster, const RepairRequest& request,
                                               const Clock& clock, const Cancellation& cancellation) {
  if (request.dry_run) return rehearse(cluster, request, cancellation);
  warn_where_one_must_write(cluster.space.store());
  const LeaseOptions waiting{.cancellation = &cancellation};
  const auto take = [&](const char* name) {
    return Lease::acquire(cluster.space, name, repair_purpose, clock, waiting);
  };
  std::vector<DroppedObject> dropped;
  for (const char* name : {prune_lease_name, backup_lease_name, copy_lease_name}) {
    PGS_TRY(auto lease, drop_damaged_lease(cluster.space, name));
    if (lease) dropped.push_back(*std::move(lease));
  }
  PGS_TRY(const Lease prune, take(prune_lease_name));
  PGS_TRY(const Lease backup, take(backup_lease_name));
  PGS_TRY(const Lease copy, take(copy_lease_name));
  const auto stream = take(stream_lease_name);
  if (!stream && stream.error().code() != ErrorCode::busy && stream.error().code() != ErrorCode::damaged)
    return std::unexpected(stream.error());
  const auto may_remove = [&]() -> Result<void> {
    PGS_CHECK(prune.check());
    PGS_CHECK(backup.check());
    PGS_CHECK(copy.check());
    return stream ? stream->check() : Result<void>();
  };
  PGS_TRY(auto report, repair_with(cluster, request, !stream, may_remove, cancellation));
  report.dropped.insert(report.dropped.begin(), dropped.begin(), dropped.end());
  return report;
}

}  // namespace pgstrata
