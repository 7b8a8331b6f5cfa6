// Finds a record in the WAL of one timeline's ancestry: by the segments' indexes, and by reading the WAL only
// of segments whose index says that it may be there, and of those not sealed yet. Internal to the room.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "catalog/wal_reader.h"
#include "catalog/wal_run.h"

namespace pgstrata {

struct TablespaceCreation {
  Oid oid;
  std::string location;  // as the source had it
};

// A record that ends a transaction, is a restore point, begins a timeline or makes a tablespace; of any other
// record only its place is told.
struct RecordFacts {
  Lsn start;
  Lsn end;
  std::optional<TransactionEnd> transaction;
  std::optional<std::string> restore_point;
  std::optional<TablespaceCreation> tablespace = {};
  std::optional<TimelineChange> timeline_change = {};
};

struct SearchedWal {
  Lsn from;  // records that start before are passed over
  Lsn to;    // and those that end after
  int server_major = 0;
};

// Belongs to one thread; borrows space, inventory and cancellation.
class WalSearch {
 public:
  // `way` as timeline_ancestry gives it.
  WalSearch(const ClusterSpace& space, const WalInventory& inventory, const std::vector<TimelineStretch>& way,
            const Cancellation& cancellation)
      : space_(space), inventory_(inventory), runs_(wal_runs(inventory, way)), cancellation_(cancellation) {}

  // Whether the segment whose index this is can hold what is looked for.
  using Maybe = std::function<bool(const WalIndex&)>;
  // True when this is the record.
  using Match = std::function<bool(const RecordFacts&)>;

  // The first record that matches. Errors: damaged, not_found (a segment is gone),
  // cancelled.
  Result<std::optional<RecordFacts>> find_first(const SearchedWal& where, const Maybe& maybe,
                                                const Match& match);
  // The last one; `maybe` should be narrow, each segment it admits is read.
  Result<std::optional<RecordFacts>> find_last(const SearchedWal& where, const Maybe& maybe,
                                               const Match& match);

  // The last commit that the last find_first passed before it ended; not valid when it met none.
  [[nodiscard]] Timestamp last_commit() const { return last_commit_; }

  // The timeline whose segment recovery takes for the WAL at `segment_start`.
  [[nodiscard]] std::optional<TimelineId> timeline_of(Lsn segment_start) const;

 private:
  using Visit = std::function<bool(const RecordFacts&)>;  // false ends the search
  Result<void> search(const SearchedWal& where, const Maybe& maybe, const Visit& visit);
  Result<std::optional<WalIndex>> index_of(TimelineId timeline, Lsn segment_start) const;
  Result<Lsn> begin_reading_at(Lsn from, Lsn segment_start) const;
  Result<bool> read_segment(const SearchedWal& where, Lsn segment_start, const Visit& visit);

  const ClusterSpace& space_;
  const WalInventory& inventory_;
  std::vector<WalRun> runs_;
  const Cancellation& cancellation_;
  Timestamp last_commit_;
};

}  // namespace pgstrata
