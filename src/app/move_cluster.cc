#include "app/move_cluster.h"

#include "app/source_slot.h"
#include "capture/source_timeline.h"

namespace pgstrata {
namespace {

Result<void> check_system(const RegisteredCluster& cluster, const SourceFacts& facts) {
  const auto system = facts.identity.system;
  if (system == cluster.record.system_identifier) return {};
  return std::unexpected(make_error(ErrorCode::already_exists,
                                    "cluster {} is registered already, and this server is another cluster: "
                                    "its system identifier is {}, that of {} is {}",
                                    cluster.space.name(), system, cluster.space.name(),
                                    cluster.record.system_identifier)
                             .with_hint("Give another server another name."));
}

// The operator says that the cluster is there: what may be a mistake is told, as long as it can be undone.
Result<void> check_timeline(const RegisteredCluster& cluster, const SourceFacts& facts,
                            std::vector<SourceRemark>& warnings) {
  const auto server = facts.identity.timeline;
  PGS_TRY(const auto ours, check_timeline_not_left(cluster.space, cluster.record.wal_segment_bytes, server));
  if (!ours || *ours == server) return {};
  const auto& name = cluster.space.name();
  warnings.push_back(
      {.what = fmt::format("the server is on timeline {}, {} is on timeline {}: the next stream follows it",
                           server, name, *ours),
       .fix = fmt::format("if it is a copy and not the new primary, take this back before a stream runs: "
                          "`pgstrata add {} --url \"{}\"`",
                          name, cluster.record.connection)});
  return {};
}

// One in use is taken for ours while a stream of ours runs: it may be there already.
Result<bool> ensure_own_slot(const RegisteredCluster& cluster, const ConnectionUrl& url,
                             const std::string& slot, const Cancellation& cancellation) {
  auto reused = ensure_slot(url, slot, SlotTakeover::allowed, cancellation);
  if (reused || reused.error().code() != ErrorCode::busy) return reused;
  PGS_TRY(const auto stream, lease_holder(cluster.space, stream_lease_name));
  if (!stream) return reused;
  return true;
}

// A slot that was made just now tells that another server has been left, or another slot on this one.
void warn_of_old_slot(const ClusterRecord& before, const AddOutcome& outcome,
                      std::vector<SourceRemark>& warnings) {
  if (outcome.slot_reused && outcome.record.slot == before.slot) return;
  warnings.push_back(
      {.what = fmt::format("a server that goes on at {} keeps WAL for the slot \"{}\" there, until its disk "
                           "is full",
                           before.connection, before.slot),
       .fix = fmt::format("once no stream uses it, drop it on that server: {}", drop_slot_sql(before.slot))});
}

}  // namespace

Result<void> move_cluster(const RegisteredCluster& cluster, const SourceFacts& facts,
                          const ConnectionUrl& url, const std::optional<std::string>& slot,
                          const Cancellation& cancellation, AddOutcome& outcome) {
  PGS_CHECK(check_system(cluster, facts));
  PGS_CHECK(check_timeline(cluster, facts, outcome.warnings));
  outcome.before = cluster.record;
  outcome.record = cluster.record;
  outcome.record.connection = url.without_password().text();
  outcome.record.slot = slot.value_or(cluster.record.slot);
  outcome.record.server_version = facts.server_version;
  outcome.record.data_checksums = facts.data_checksums;
  PGS_TRY(outcome.slot_reused, ensure_own_slot(cluster, url, outcome.record.slot, cancellation));
  PGS_CHECK(replace_cluster_record(cluster.space, outcome.record));
  warn_of_old_slot(cluster.record, outcome, outcome.warnings);
  return {};
}

}  // namespace pgstrata
