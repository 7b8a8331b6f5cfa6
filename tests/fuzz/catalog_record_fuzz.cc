// Records of clusters, snapshots, holds and what is condemned whose seal is right and whose content is not: what parses is written back
// and parses the same.
#include "catalog/cluster_record.h"
#include "catalog/condemned.h"
#include "catalog/retention_floor.h"
#include "catalog/retention_horizon.h"
#include "catalog/snapshot_record.h"
#include "repo/record.h"
#include "storage/memory/memory_store.h"

using namespace pgstrata;

namespace {

void read_snapshot(const ClusterSpace& space, ByteView payload) {
  PGS_ASSERT(put_record(space, "snapshots/one", RecordKind::snapshot, payload).has_value());
  auto record = get_snapshot(space, "one");
  if (!record) return;
  record->id = "two";
  PGS_ASSERT(put_snapshot(space, *record).has_value());
  const auto again = get_snapshot(space, "two");
  PGS_ASSERT(again && again->tree == record->tree && again->packs == record->packs &&
             again->consistent_lsn == record->consistent_lsn && again->kind == record->kind &&
             again->bad_pages.size() == record->bad_pages.size() &&
             again->last_commit == record->last_commit && again->recovery == record->recovery &&
             again->tables.size() == record->tables.size());
}

void read_cluster(MemoryStore& store, const ClusterSpace& space, ByteView payload) {
  PGS_ASSERT(put_record(space, "cluster", RecordKind::cluster, payload).has_value());
  const auto record = get_cluster_record(space);
  if (!record) return;
  PGS_ASSERT(store.remove(space.object_name("cluster")).has_value());
  PGS_ASSERT(put_cluster_record(space, *record).has_value());
  const auto again = get_cluster_record(space);
  PGS_ASSERT(again && again->slot == record->slot && again->added == record->added &&
             again->system_identifier == record->system_identifier);
}

void read_hold(const ClusterSpace& space, ByteView payload) {
  PGS_ASSERT(put_record(space, "holds/one", RecordKind::hold, payload).has_value());
  const auto list = list_holds(space);
  PGS_ASSERT(list && list->holds.size() + list->damaged.size() == 1);
  if (list->holds.empty()) return;
  Hold hold = list->holds.front();
  hold.id = "two";
  PGS_ASSERT(put_hold(space, hold, system_clock()).has_value());
  PGS_ASSERT(list_holds(space)->holds.size() == 2);
}

void read_condemned(const ClusterSpace& space, ByteView payload) {
  PGS_ASSERT(put_record(space, "condemned/one", RecordKind::condemned, payload).has_value());
  PGS_ASSERT(put_record(space, "condemned/one.witness", RecordKind::condemned_witness, payload).has_value());
  const auto notes = list_condemned_notes(space);
  if (!notes) return;
  (void)unaware_of(space, notes->front());
  CondemnedNote note = notes->front();
  PGS_ASSERT(put_condemned_note(space, note, system_clock()).has_value());
  const auto again = list_condemned_notes(space);
  PGS_ASSERT(again && again->size() == 2 && again->front().packs == again->back().packs &&
             again->front().segments == again->back().segments);
}

void read_floor(const ClusterSpace& space, ByteView payload) {
  PGS_ASSERT(put_record(space, "retention-floor", RecordKind::retention_floor, payload).has_value());
  (void)get_retention_floor(space);
  PGS_ASSERT(put_record(space, "retention-horizon", RecordKind::retention_horizon, payload).has_value());
  PGS_ASSERT(get_wal_horizons(space).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemoryStore store;
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  const ClusterSpace space(store, "app", *key);
  const ByteView payload = std::as_bytes(std::span(data, size));
  read_snapshot(space, payload);
  read_cluster(store, space, payload);
  read_hold(space, payload);
  read_condemned(space, payload);
  read_floor(space, payload);
  return 0;
}
