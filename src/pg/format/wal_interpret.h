// What a WAL record means for someone who wants to know what happened: transactions that ended, restore
// points, checkpoints, timeline switches, and which relations changed and how.
//
// Sources: src/include/access/xact.h, heapam_xlog.h, catalog/pg_control.h, catalog/storage_xlog.h,
// commands/dbcommands_xlog.h, commands/tablespace.h. Differences that matter: XLOG_DBASE_DROP is 0x10 up to
// 14 and 0x20 from 15 on (15 added creation by WAL); dropped statistics (15+) stand between the dropped
// relations and the invalidations of a commit. The heap operations counted here have the same numbers from 13
// to 18.
//
// WAL does not say all: rows of transactions that aborted are counted, for nothing takes them back; a
// savepoint that is rolled back writes an abort record like that of a whole transaction. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"
#include "base/types.h"
#include "pg/format/wal_record.h"

namespace pgstrata {

// A list of relations within a record, read in place.
class RelationFileList {
 public:
  static constexpr std::size_t entry_size_bytes = 12;
  RelationFileList() = default;
  explicit RelationFileList(ByteView entries) : entries_(entries) {}
  [[nodiscard]] std::size_t size() const { return entries_.size() / entry_size_bytes; }
  [[nodiscard]] RelationFile operator[](std::size_t index) const;

 private:
  ByteView entries_;
};

// Views in what follows are good while the handler's call lasts.

struct TransactionEnd {
  bool committed = false;  // else aborted
  bool prepared = false;   // by COMMIT PREPARED or ROLLBACK PREPARED
  Xid xid;                 // of the prepared transaction where there is one
  Timestamp time;
  Lsn lsn;  // end of the record: what must be replayed for it to have happened
  // Files that go with it: of dropped relations on commit, of relations it had created on abort.
  RelationFileList dropped;
};

struct RestorePoint {
  std::string_view name;  // at most 63 bytes
  Timestamp time;
  Lsn lsn;  // end of the record
};

struct Checkpoint {
  bool shutdown = false;
  Lsn redo;
  Lsn lsn;  // start of the record, as pg_control has it
  TimelineId timeline;
  Timestamp time;  // when it began, in whole seconds
};

struct TimelineChange {
  TimelineId from;
  TimelineId to;
  Lsn lsn;         // start of the record that says so
  Timestamp time;  // when it was; in whole seconds where a checkpoint says so
};

// How a relation changed. `inserted`, `updated` and `removed` count rows.
enum class ChangeKind : std::uint8_t {
  inserted,  // single and multi inserts; TOAST tables and catalogs are relations too
  updated,
  removed,    // rows deleted
  truncated,  // cut to nothing: by TRUNCATE in the transaction that created it, or by VACUUM of an empty
              // table; and TRUNCATE as logged for wal_level logical, whose "file" is {tablespace 0, database,
              // the table's OID}
  created,    // a new main fork; TRUNCATE and rewrites create a new file and drop the old one
  dropped,    // its file goes with a commit
  other,      // records that changed it in another way: indexes, vacuum, visibility, locks
};
inline constexpr std::size_t change_kind_count = 7;

// A tablespace that is made or goes is told as a change of a "file" without database and number.
constexpr bool is_tablespace_itself(const RelationFile& relation) {
  return !relation.database.valid() && !relation.number.valid();
}

class WalEventHandler {
 public:
  virtual ~WalEventHandler() = default;
  virtual void transaction_end(const TransactionEnd& end) = 0;
  virtual void restore_point(const RestorePoint& point) = 0;
  virtual void checkpoint(const Checkpoint& checkpoint) = 0;
  virtual void timeline_switch(const TimelineChange& change) = 0;
  virtual void database_created(Oid database) = 0;
  virtual void database_dropped(Oid database) = 0;
  // Once per record and kind; dropped relations of a commit come here as well.
  virtual void change(const RelationFile& relation, ChangeKind kind, std::uint32_t count) = 0;
  virtual void page_image(const RelationFile& relation, std::size_t size_bytes) = 0;
};

// Tells the handler what the record means; records without meaning to it say nothing.
// Error: damaged, when the record is shorter than its kind demands.
[[nodiscard]] Result<void> interpret_wal_record(const WalRecord& record, WalEventHandler& handler);

}  // namespace pgstrata
