// What retention keeps of a cluster and what it lets go: decided from what the repository holds, before anything is
// removed. Internal to this room, but for who only wants to know.
//
// Ages count back from the newest moment that the repository knows of, where that is before the clock's: neither a clock
// that is wrong nor a source that stands still takes anything away.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "catalog/coverage.h"
#include "catalog/hold.h"
#include "catalog/retention.h"
#include "catalog/retention_horizon.h"
#include "repo/pack.h"

namespace pgstrata {

// What a cluster's space holds that prune has to do with.
struct Holdings {
  std::map<PackId, std::uint64_t> packs;   // with their sizes; listed before the roots
  SnapshotList list;                       // the whole ones; the damaged ones are those that lack packs
  std::vector<SnapshotRecord> incomplete;  // the records of the latter
  std::vector<Hold> holds;
  std::vector<Hold> ended_holds;  // none of the former
  WalInventory inventory;
  Coverage coverage;
  Timestamp now;        // that ages are counted back from
  Timestamp clock_now;  // the clock's
};

// Errors: damaged, when a snapshot's record or a hold does not open, or a hold's snapshot is not there: what is needed is not known, so nothing can be said to be
// free; the hint says what to do. Those of compute_coverage.
Result<Holdings> load_holdings(const ClusterSpace& space, std::uint32_t wal_segment_bytes, const Clock& clock,
                               const Cancellation& cancellation);

// Error: damaged, as for load_holdings.
Result<void> check_all_readable(const ClusterSpace& space, const SnapshotList& list, const HoldList& holds);

struct SnapshotFate {
  SnapshotRecord snapshot;
  std::vector<KeepRule> kept_by;      // none: it goes
  std::uint64_t only_here_bytes = 0;  // of packs that no younger snapshot needs, and none that stays
};

struct PrunePlan {
  std::vector<SnapshotFate> snapshots;  // oldest first
  std::vector<PackId> packs;            // that go, with or without a snapshot
  std::uint64_t pack_bytes = 0;         // of these
  std::uint64_t stray_packs =
      0;  // of these: that no snapshot refers to, of interrupted work or of work under way
  std::uint64_t stray_bytes = 0;
  WalSegmentIds segments;
  std::uint64_t wal_bytes = 0;
  WalHorizons horizons;   // before which WAL goes, of each timeline
  Timestamp window_from;  // any second from here on can be restored as before; not valid without a policy
  Coverage after;         // what can be restored once all that is gone

  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::vector<std::string> doomed_snapshots() const;
};

// Errors: failed, when what would be left cannot restore what the policy asks for (a defect of the program: nothing was
// removed); those of compute_coverage.
Result<PrunePlan> plan_prune(const ClusterSpace& space, const Holdings& holdings,
                             const RetentionPolicy& policy, const Cancellation& cancellation);

// Where the cluster's WAL goes on, or ended: the newest range; where that WAL is damaged at its end, the one that reaches furthest
// on the current timeline; else the latest. Nothing without any.
[[nodiscard]] const CoverageRange* last_range(const Coverage& coverage);

// Whether `now` restores all that the plan leaves: nothing that the policy asks for has gone. Error: failed.
Result<void> check_kept(const PrunePlan& plan, const Coverage& before, const Coverage& now);

// The WAL that `snapshots` and `holds` need by themselves: up to where each is consistent, up to each hold's end. Errors: those
// of timelines' histories.
class WalNeeds {
 public:
  explicit WalNeeds(const ClusterSpace& space, std::uint32_t wal_segment_bytes)
      : space_(space), wal_segment_bytes_(wal_segment_bytes) {}

  // On the way to `timeline`; `to` excluded.
  Result<void> add(TimelineId timeline, Lsn from, Lsn to);
  Result<void> add(const SnapshotRecord& snapshot);
  Result<void> add(const Hold& hold);
  [[nodiscard]] bool needs(TimelineId timeline, Lsn segment_start) const;

 private:
  struct Stretch {
    Lsn from;
    Lsn to;
  };
  const ClusterSpace& space_;
  const std::uint32_t wal_segment_bytes_;
  std::map<TimelineId, std::vector<TimelineStretch>> ways_;
  std::map<TimelineId, std::vector<Stretch>> needed_;
};

}  // namespace pgstrata
