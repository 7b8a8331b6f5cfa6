// Reading WAL and remembering which of it cannot be read, and which snapshots lack it. Internal to this room.
#pragma once

#include <functional>

#include "check/lost_coverage.h"
#include "check/pack_check.h"

namespace pgstrata {

// A segment that a snapshot needs to be consistent, and of which that part is not there.
struct LackingWal {
  std::string snapshot;
  TimelineId timeline;
  Lsn start;  // the segment's
};

struct WalCheck {
  WalEnds ends;
  std::vector<DamagedObject> damaged;
  std::set<std::pair<TimelineId, Lsn>>
      broken;  // timeline and start of segments that cannot be read as needed
  std::set<std::pair<TimelineId, Lsn>> lasting;  // those of them that no second try will mend
  std::vector<LackingWal> lacking;
  std::uint64_t segments = 0;
  std::uint64_t segments_read = 0;  // from end to end
  bool moved = false;               // since the inventory was loaded
};

// What is not sealed is read to its end, and so is what the sample takes of the rest, by whole segments; of the others
// the frame and the summary. `on_segment` is told after each. Errors: cancelled; those of the store.
Result<WalCheck> check_wal(const ClusterSpace& space, const SnapshotList& list, const WalInventory& inventory,
                           const ContentSample& sample, const Cancellation& cancellation,
                           const std::function<void(std::uint64_t bytes_read)>& on_segment);

}  // namespace pgstrata
