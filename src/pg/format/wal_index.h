// What one WAL segment holds: when its transactions ended, how many, which relations changed and how.
//
// Small enough to read for a whole history: this is what coverage, replay debt, targets by time and the log
// are computed from, without the WAL itself. A record belongs to the segment in which it ends (its last
// byte). Stored as docs/formats/wal-index.md says. Pure; a builder is not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"
#include "base/types.h"
#include "pg/format/wal_interpret.h"
#include "pg/format/wal_reader.h"

namespace pgstrata {

struct RelationChanges {
  RelationFile relation;
  std::array<std::uint64_t, change_kind_count> counts{};  // by ChangeKind
  std::uint64_t page_images = 0;

  [[nodiscard]] std::uint64_t count(ChangeKind kind) const { return counts[static_cast<std::size_t>(kind)]; }
  bool operator==(const RelationChanges&) const = default;
};

struct IndexedRestorePoint {
  std::string name;
  Timestamp time;
  Lsn lsn;  // end of its record: recovery to it stops there
  bool operator==(const IndexedRestorePoint&) const = default;
};

struct IndexedCheckpoint {
  bool shutdown = false;
  Lsn redo;
  Lsn lsn;  // start of its record
  bool operator==(const IndexedCheckpoint&) const = default;
};

struct IndexedDatabaseChange {
  bool created = false;  // else dropped
  Oid database;
  Lsn lsn;  // start of its record
  bool operator==(const IndexedDatabaseChange&) const = default;
};

// Lists of an index that are cut off: more happened than they hold, and whoever looks for something that is
// not in one of them has to read the WAL.
struct WalIndexCut {
  bool restore_points = false;
  bool checkpoints = false;
  bool database_changes = false;
  bool relations = false;
  bool operator==(const WalIndexCut&) const = default;
};

struct WalIndex {
  Lsn start;
  Lsn end;
  int major_version = 0;  // 0: no record

  std::uint64_t records = 0;
  Lsn last_record_start;  // invalid: no record
  Lsn last_record_end;

  // Transactions that ended here, prepared ones included. Each rolled back savepoint counts as an abort of
  // its own.
  std::uint64_t commits = 0;
  std::uint64_t aborts = 0;
  Timestamp first_commit_time;  // the earliest and the latest; not valid without commits
  Timestamp last_commit_time;
  Timestamp last_end_time;  // the latest of commits and aborts
  Xid first_xid;            // of those that ended, in the circular order of xids; not valid when none
  Xid last_xid;

  std::uint64_t page_image_bytes = 0;
  WalIndexCut cut;
  std::vector<IndexedRestorePoint> restore_points;      // in order of LSN
  std::vector<IndexedCheckpoint> checkpoints;           // in order of LSN
  std::vector<IndexedDatabaseChange> database_changes;  // in order of LSN
  std::vector<RelationChanges> relations;               // in order of relation, each once

  [[nodiscard]] std::uint64_t transactions() const { return commits + aborts; }
  bool operator==(const WalIndex&) const = default;
};

// How long the lists get: whatever a source does, an index stays below the 4 MiB of one chunk, and a builder
// within some 10 MiB. The first ones of a segment are kept.
inline constexpr std::size_t indexed_relations_limit = 32'768;
inline constexpr std::size_t indexed_events_limit = 8'192;  // of each kind

// Collects records, segment by segment: hand it to WalRecordReader::feed.
class WalIndexBuilder final : public WalRecordHandler, private WalEventHandler {
 public:
  // Where the first segment, or the part of it that is read, starts.
  explicit WalIndexBuilder(Lsn start);

  // Error: damaged, when the record contradicts its kind.
  Result<void> record(const WalRecord& record) override;

  // The index of all records since the last one, for the segment that ends at `end`, and starts the next
  // there. Call it when the segment's bytes have been fed and none of the next.
  [[nodiscard]] WalIndex seal_segment(Lsn end);

 private:
  void transaction_end(const TransactionEnd& end) override;
  void restore_point(const RestorePoint& point) override;
  void checkpoint(const Checkpoint& checkpoint) override;
  void timeline_switch(const TimelineChange&) override {}
  void database_created(Oid database) override;
  void database_dropped(Oid database) override;
  void database_change(bool created, Oid database);
  void change(const RelationFile& relation, ChangeKind kind, std::uint32_t count) override;
  void page_image(const RelationFile& relation, std::size_t size_bytes) override;

  // Nothing when the list is full.
  RelationChanges* changes_of(const RelationFile& relation);

  WalIndex index_;
  std::unordered_map<RelationFile, RelationChanges> relations_;
  // Points into relations_, by hash: neighbouring records change the same few relations.
  std::array<RelationChanges*, 64> recent_{};
};

// One restore point name is at most this long, as the server has it.
inline constexpr std::size_t restore_point_name_limit_bytes = 63;

[[nodiscard]] Bytes encode_wal_index(const WalIndex& index);
// Errors: damaged, when the bytes are not what encode_wal_index writes; newer_format, for a later version.
// Allocates at most a fixed multiple of the bytes given.
[[nodiscard]] Result<WalIndex> decode_wal_index(ByteView bytes);

}  // namespace pgstrata
