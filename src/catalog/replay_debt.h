// Replay debt: the time PostgreSQL needs to replay from the snapshot that a moment is restored from to that
// moment. It is what opening the moment costs, and what says that a new snapshot is due.
#pragma once

#include "catalog/coverage.h"
#include "catalog/replay_meter.h"

namespace pgstrata {

// Reads the WAL indexes behind the newest snapshot, and of the segment before it where nothing behind it is
// sealed. Nothing without a newest range. `meter` is for the way to the current timeline. Errors: cancelled;
// those of the store.
Result<std::optional<ReplayDebt>> replay_debt_now(ReplayMeter& meter, const Coverage& coverage,
                                                  const Cancellation& cancellation);

struct WorstReplayDebt {
  ReplayDebt debt;
  TimelineId timeline;   // of the range
  std::string snapshot;  // where replay begins
  Lsn to;                // and what it has to reach
};

// The worst moment of one range of the meter's way. A moment is restored from the last snapshot that is
// consistent before it, so the worst ones are those just before the next is. Where a range has more segments
// than the meter's limit, only a sample of them is read. Errors: cancelled; those of the store.
Result<WorstReplayDebt> worst_replay_debt(ReplayMeter& meter, const Coverage& coverage,
                                          const CoverageRange& range, const Cancellation& cancellation);

struct ReplayDebts {
  std::optional<ReplayDebt> now;         // nothing without a newest range
  std::optional<WorstReplayDebt> worst;  // nothing without any range
};

// Both, over all of coverage. Lists the WAL again; reads at most indexes_limit indexes of each range, and as
// many behind the newest snapshot. Errors: cancelled; those of the store.
Result<ReplayDebts> replay_debts(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                 const Coverage& coverage, const Cancellation& cancellation,
                                 std::size_t indexes_limit = default_indexes_limit);

}  // namespace pgstrata
