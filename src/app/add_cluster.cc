#include "app/add_cluster.h"

#include <algorithm>
#include <ranges>

#include "app/move_cluster.h"
#include "app/source_slot.h"
#include "catalog/snapshot_record.h"
#include "catalog/wal_reader.h"
#include "pg/format/wal_page.h"

namespace pgstrata {
namespace {

Error registered_already(std::string_view cluster) {
  return make_error(ErrorCode::already_exists, "cluster {} is registered already, nothing to change", cluster)
      .with_hint(fmt::format("`pgstrata status {}` shows it; give another server another name.", cluster));
}

// Nothing when there is no such cluster.
Result<std::optional<ClusterSpace>> find_cluster(const Repository& repository, const std::string& cluster) {
  auto space = repository.open_cluster(cluster);
  if (space.has_value()) return std::optional(*std::move(space));
  if (space.error().code() == ErrorCode::not_found) return std::optional<ClusterSpace>();
  return std::unexpected(std::move(space).error());
}

// Nothing when its `add` did not finish.
Result<std::optional<ClusterRecord>> find_record(const ClusterSpace& space) {
  auto record = get_cluster_record(space);
  if (record.has_value()) return std::optional(*std::move(record));
  if (record.error().code() == ErrorCode::not_found) return std::optional<ClusterRecord>();
  return std::unexpected(std::move(record).error());
}

bool is_registered_so(const ClusterRecord& record, const ConnectionUrl& url,
                      const std::optional<std::string>& slot) {
  return record.connection == url.without_password().text() && (!slot || *slot == record.slot);
}

// By the header of the newest segment's first page that is here and can be read.
Result<std::optional<SystemIdentifier>> system_of_wal(const ClusterSpace& space,
                                                      std::uint32_t segment_bytes) {
  PGS_TRY(const auto inventory, WalInventory::load(space, segment_bytes));
  for (const auto& [timeline, segments] : inventory.timelines() | std::views::reverse) {
    for (const auto& [start, objects] : segments | std::views::reverse) {
      const auto content = read_wal_segment(space, inventory, timeline, start);
      if (!content && content.error().code() != ErrorCode::damaged) return std::unexpected(content.error());
      if (!content || content->bytes.size() < wal_long_page_header_size_bytes) continue;
      const auto header = parse_wal_page_header(content->bytes);
      if (header && header->is_long) return header->system_identifier;
    }
  }
  return std::nullopt;
}

// What is kept under the name of a cluster whose registration is lost goes on with that server alone.
Result<void> check_same_system(const ClusterSpace& space, const SourceFacts& facts) {
  PGS_TRY(const auto kept, list_snapshots(space));
  std::vector<SystemIdentifier> systems;
  for (const auto& snapshot : kept.snapshots) systems.push_back(snapshot.system_identifier);
  PGS_TRY(const auto of_wal, system_of_wal(space, facts.wal_segment_bytes));
  if (of_wal) systems.push_back(*of_wal);
  const auto system = facts.identity.system;
  const auto other = std::ranges::find_if(systems, [&](const auto& known) { return known != system; });
  if (other == systems.end()) return {};
  return std::unexpected(
      make_error(
          ErrorCode::failed,
          "cluster {} lost its registration, and what is kept of it is of system {}; this server is {}",
          space.name(), *other, system)
          .with_hint("Give the URL of the server that it was made of, or add this one under another name."));
}

// The password in the URL will not be there next time.
Result<void> warn_of_missing_password(const ConnectionUrl& url, const Cancellation& cancellation,
                                      std::vector<SourceRemark>& warnings) {
  if (!url.has_password()) return {};
  const auto without = ReplicationConnection::connect(url.without_password(), {}, cancellation);
  if (without.has_value()) return {};
  if (without.error().code() == ErrorCode::cancelled) return std::unexpected(without.error());
  warnings.push_back(
      {.what = "the password in the URL is not kept, and without it the source refuses the connection",
       .fix = "before `backup` and `stream`, put it into ~/.pgpass (mode 0600) as HOST:PORT:*:USER:PASSWORD, "
              "or set "
              "PGPASSWORD for them"});
  return {};
}

// Copies of one cluster share its identifier, each under a name of its own; one server under two names is
// hardly ever meant. What of another cluster cannot be read is `status`'s to tell.
Result<void> warn_of_other_names(const Repository& repository, const std::string& cluster,
                                 const SourceFacts& facts, const std::string& slot,
                                 std::vector<SourceRemark>& warnings) {
  PGS_TRY(const auto names, repository.clusters());
  for (const std::string& name : names) {
    if (name == cluster) continue;
    const auto other = open_registered_cluster(repository, name);
    if (!other || other->record.system_identifier != facts.identity.system) continue;
    warnings.push_back(
        {.what =
             fmt::format("this server has the system identifier of cluster {}, which is registered at {}: "
                         "right for a copy of it, but if both are one server, it keeps WAL for {} too, "
                         "until its disk is full",
                         name, other->record.connection, cluster),
         .fix = fmt::format("if it was a mistake, leave {} alone and drop its slot on the server: {}",
                            cluster, drop_slot_sql(slot))});
  }
  return {};
}

ClusterRecord make_record(const SourceFacts& facts, const ConnectionUrl& url, std::string slot,
                          Timestamp now) {
  return {.connection = url.without_password().text(),
          .system_identifier = facts.identity.system,
          .server_version = facts.server_version,
          .wal_segment_bytes = facts.wal_segment_bytes,
          .slot = std::move(slot),
          .data_checksums = facts.data_checksums,
          .added = now};
}

}  // namespace

std::string slot_name_of(std::string_view cluster) {
  std::string name = "pgstrata_" + std::string(cluster);
  std::ranges::replace(name, '-', '_');
  return name;
}

Result<AddOutcome> add_cluster(Repository& repository, const AddRequest& request, const Clock& clock,
                               const Cancellation& cancellation) {
  PGS_CHECK(check_cluster_name(request.cluster));
  PGS_TRY(const ConnectionUrl url, ConnectionUrl::parse(request.url));
  PGS_TRY(auto space, find_cluster(repository, request.cluster));
  std::optional<ClusterRecord> registered;
  if (space) {
    PGS_TRY(registered, find_record(*space));
  }
  if (registered && is_registered_so(*registered, url, request.slot)) {
    return std::unexpected(registered_already(request.cluster));
  }
  PGS_TRY(SourceReport report, check_source(url, cancellation));
  AddOutcome outcome{
      .problems = std::move(report.problems), .warnings = std::move(report.warnings), .record = {}};
  if (!outcome.problems.empty()) return outcome;
  PGS_CHECK(warn_of_missing_password(url, cancellation, outcome.warnings));
  if (registered) {
    PGS_CHECK(move_cluster({.space = *std::move(space), .record = *std::move(registered)}, *report.facts, url,
                           request.slot, cancellation, outcome));
    return outcome;
  }
  if (space) {
    PGS_CHECK(check_same_system(*space, *report.facts));
  } else {
    PGS_TRY(space, repository.create_cluster(request.cluster));
  }
  const std::string slot = request.slot.value_or(slot_name_of(request.cluster));
  const auto takeover = request.slot ? SlotTakeover::allowed : SlotTakeover::refused;
  PGS_TRY(outcome.slot_reused, ensure_slot(url, slot, takeover, cancellation));
  PGS_CHECK(warn_of_other_names(repository, request.cluster, *report.facts, slot, outcome.warnings));
  outcome.record = make_record(*report.facts, url, slot, clock.now());
  const auto put = put_cluster_record(*space, outcome.record);
  if (put.has_value()) return outcome;
  if (put.error().code() == ErrorCode::already_exists) {
    return std::unexpected(registered_already(request.cluster));
  }
  return std::unexpected(put.error());
}

}  // namespace pgstrata
