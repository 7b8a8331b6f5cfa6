#include <algorithm>

#include "pg/format/wal_index.h"

namespace pgstrata {
namespace {

// Transaction ids wrap around: one precedes another when it is less than half the circle before it.
bool precedes(Xid left, Xid right) {
  return static_cast<std::int32_t>(left.value - right.value) < 0;
}

}  // namespace

WalIndexBuilder::WalIndexBuilder(Lsn start) {
  index_.start = start;
}

Result<void> WalIndexBuilder::record(const WalRecord& record) {
  ++index_.records;
  index_.major_version = record.major_version;
  index_.last_record_start = record.start;
  index_.last_record_end = record.end;
  return interpret_wal_record(record, *this);
}

WalIndex WalIndexBuilder::seal_segment(Lsn end) {
  index_.end = end;
  index_.relations.reserve(relations_.size());
  for (const auto& [relation, changes] : relations_) index_.relations.push_back(changes);
  std::ranges::sort(index_.relations, {}, &RelationChanges::relation);
  relations_.clear();
  recent_.fill(nullptr);

  WalIndex sealed = std::move(index_);
  index_ = WalIndex();
  index_.start = end;
  return sealed;
}

void WalIndexBuilder::transaction_end(const TransactionEnd& end) {
  if (end.committed) {
    if (index_.commits == 0 || end.time < index_.first_commit_time) index_.first_commit_time = end.time;
    if (index_.commits == 0 || end.time > index_.last_commit_time) index_.last_commit_time = end.time;
  }
  const bool first = index_.transactions() == 0;
  if (first || end.time > index_.last_end_time) index_.last_end_time = end.time;
  ++(end.committed ? index_.commits : index_.aborts);
  if (!end.xid.valid()) return;
  if (!index_.first_xid.valid() || precedes(end.xid, index_.first_xid)) index_.first_xid = end.xid;
  if (!index_.last_xid.valid() || precedes(index_.last_xid, end.xid)) index_.last_xid = end.xid;
}

void WalIndexBuilder::restore_point(const RestorePoint& point) {
  index_.cut.restore_points |= index_.restore_points.size() == indexed_events_limit;
  if (index_.cut.restore_points) return;
  const auto name = point.name.substr(0, restore_point_name_limit_bytes);
  index_.restore_points.push_back({std::string(name), point.time, point.lsn});
}

void WalIndexBuilder::checkpoint(const Checkpoint& checkpoint) {
  index_.cut.checkpoints |= index_.checkpoints.size() == indexed_events_limit;
  if (index_.cut.checkpoints) return;
  index_.checkpoints.push_back({checkpoint.shutdown, checkpoint.redo, checkpoint.lsn});
}

void WalIndexBuilder::database_change(bool created, Oid database) {
  index_.cut.database_changes |= index_.database_changes.size() == indexed_events_limit;
  if (index_.cut.database_changes) return;
  index_.database_changes.push_back({created, database, index_.last_record_start});
}

void WalIndexBuilder::database_created(Oid database) {
  database_change(true, database);
}

void WalIndexBuilder::database_dropped(Oid database) {
  database_change(false, database);
}

RelationChanges* WalIndexBuilder::changes_of(const RelationFile& relation) {
  RelationChanges*& recent = recent_[std::hash<RelationFile>()(relation) % recent_.size()];
  if (recent != nullptr && recent->relation == relation) return recent;
  const auto known = relations_.find(relation);
  if (known != relations_.end()) return recent = &known->second;
  if (relations_.size() == indexed_relations_limit) {
    index_.cut.relations = true;
    return nullptr;
  }
  recent = &relations_[relation];
  recent->relation = relation;
  return recent;
}

void WalIndexBuilder::change(const RelationFile& relation, ChangeKind kind, std::uint32_t count) {
  if (auto* changes = changes_of(relation)) changes->counts[static_cast<std::size_t>(kind)] += count;
}

void WalIndexBuilder::page_image(const RelationFile& relation, std::size_t size_bytes) {
  index_.page_image_bytes += size_bytes;
  if (auto* changes = changes_of(relation)) ++changes->page_images;
}

}  // namespace pgstrata
