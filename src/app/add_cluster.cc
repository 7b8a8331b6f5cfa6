#include "app/add_cluster.h"

#include <algorithm>
#include <ranges>

#include "catalog/snapshot_record.h"
#include "catalog/wal_reader.h"
#include "pg/format/wal_page.h"

namespace pgstrata {
namespace {

Error registered_already(std::string_view cluster) {
  return make_error(ErrorCode::already_exists, "cluster {} is registered already", cluster)
      .with_hint(fmt::format("`pgstrata status {}` shows it; give another server another name.", cluster));
}

// Nothing when there is no such cluster, or one whose `add` did not finish.
Result<std::optional<ClusterSpace>> find_unregistered(const Repository& repository,
                                                      const std::string& cluster) {
  auto space = repository.open_cluster(cluster);
  if (!space.has_value()) {
    if (space.error().code() == ErrorCode::not_found) return std::optional<ClusterSpace>();
    return std::unexpected(std::move(space).error());
  }
  const auto record = get_cluster_record(*space);
  if (record.has_value()) return std::unexpected(registered_already(cluster));
  if (record.error().code() != ErrorCode::not_found) return std::unexpected(record.error());
  return std::optional(*std::move(space));
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

// Whether nobody streams from the slot, told by streaming from it for a moment: that confirms nothing, so the
// slot keeps what it keeps. False when the server has given the slot up.
Result<bool> is_usable_slot(ReplicationConnection& connection, const std::string& slot) {
  PGS_TRY(const SystemIdentity identity, connection.identify_system());
  PGS_TRY(const StartOutcome outcome,
          connection.start_replication(slot, identity.flush_position, identity.timeline));
  if (std::holds_alternative<WalLost>(outcome)) return false;
  if (std::holds_alternative<Streaming>(outcome)) PGS_CHECK(connection.end_replication());
  return true;
}

// Two repositories that confirm to one slot make each other lose WAL.
Error slot_exists(const std::string& slot) {
  return make_error(
             ErrorCode::failed,
             "the source has a replication slot \"{}\" already: another repository may stream through it",
             slot)
      .with_hint(
          fmt::format("Choose another name with `--slot NAME`. Or, if it is left from an `add` that was "
                      "interrupted, take it over by naming it: `--slot {}`.",
                      slot));
}

// True when the slot was there.
Result<bool> make_slot(const ConnectionUrl& url, const std::string& slot, bool may_take_over,
                       const Cancellation& cancellation) {
  PGS_TRY(ReplicationConnection connection, ReplicationConnection::connect(url, {}, cancellation));
  auto made = connection.create_physical_slot(slot);
  if (made.has_value()) return false;
  if (made.error().code() != ErrorCode::already_exists) return std::unexpected(std::move(made).error());
  if (!may_take_over) return std::unexpected(slot_exists(slot));
  PGS_TRY(const bool usable, is_usable_slot(connection, slot));
  if (usable) return true;
  PGS_TRY(ReplicationConnection fresh, ReplicationConnection::connect(url, {}, cancellation));
  PGS_CHECK(fresh.drop_slot(slot));
  PGS_CHECK(fresh.create_physical_slot(slot));
  return false;
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
  PGS_TRY(auto space, find_unregistered(repository, request.cluster));
  PGS_TRY(SourceReport report, check_source(url, cancellation));
  AddOutcome outcome{
      .problems = std::move(report.problems), .warnings = std::move(report.warnings), .record = {}};
  if (!outcome.problems.empty()) return outcome;
  PGS_CHECK(warn_of_missing_password(url, cancellation, outcome.warnings));
  if (space) {
    PGS_CHECK(check_same_system(*space, *report.facts));
  } else {
    PGS_TRY(space, repository.create_cluster(request.cluster));
  }
  const std::string slot = request.slot.value_or(slot_name_of(request.cluster));
  PGS_TRY(outcome.slot_reused, make_slot(url, slot, request.slot.has_value(), cancellation));
  outcome.record = make_record(*report.facts, url, slot, clock.now());
  const auto put = put_cluster_record(*space, outcome.record);
  if (put.has_value()) return outcome;
  if (put.error().code() == ErrorCode::already_exists) {
    return std::unexpected(registered_already(request.cluster));
  }
  return std::unexpected(put.error());
}

}  // namespace pgstrata
