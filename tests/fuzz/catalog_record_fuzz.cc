// Records of clusters and snapshots whose seal is right and whose content is not: what parses is written back
// and parses the same.
#include "catalog/cluster_record.h"
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemoryStore store;
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  const ClusterSpace space(store, "app", *key);
  const ByteView payload = std::as_bytes(std::span(data, size));
  read_snapshot(space, payload);
  read_cluster(store, space, payload);
  return 0;
}
