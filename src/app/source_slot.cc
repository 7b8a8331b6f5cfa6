#include "app/source_slot.h"

#include "pg/wire/replication_connection.h"

namespace pgstrata {
namespace {

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

}  // namespace

Result<bool> ensure_slot(const ConnectionUrl& url, const std::string& slot, SlotTakeover takeover,
                         const Cancellation& cancellation) {
  PGS_TRY(ReplicationConnection connection, ReplicationConnection::connect(url, {}, cancellation));
  auto made = connection.create_physical_slot(slot);
  if (made.has_value()) return false;
  if (made.error().code() != ErrorCode::already_exists) return std::unexpected(std::move(made).error());
  if (takeover == SlotTakeover::refused) return std::unexpected(slot_exists(slot));
  PGS_TRY(const bool usable, is_usable_slot(connection, slot));
  if (usable) return true;
  PGS_TRY(ReplicationConnection fresh, ReplicationConnection::connect(url, {}, cancellation));
  PGS_CHECK(fresh.drop_slot(slot));
  PGS_CHECK(fresh.create_physical_slot(slot));
  return false;
}

std::string drop_slot_sql(std::string_view slot) {
  return fmt::format("SELECT pg_drop_replication_slot('{}');", slot);
}

}  // namespace pgstrata
