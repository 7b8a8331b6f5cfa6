// Holds: what keeps a snapshot, and the WAL from it to some moment, from retention. An operator adds one with a reason; a
// branch has one for as long as it is there, a restore for the days that it may take.
//
// Stored as the record `holds/ID`. Format: docs/formats/catalog.md. Prune's side of the bargain is in
// docs/decisions/0019-what-may-be-removed.md: who wants to read first writes his hold and then looks whether what he wants
// is condemned. All here may be called by any thread or process at any time.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/types.h"
#include "repo/repository.h"

namespace pgstrata {

enum class HoldKind { operator_, branch, restore };
[[nodiscard]] std::string_view to_string(HoldKind kind);

struct Hold {
  std::string id = {};  // as a snapshot's; drawn by put_hold when it is empty
  HoldKind kind = HoldKind::operator_;
  std::string snapshot;  // its id
  // With the WAL from the snapshot's start to `to_lsn`, on the way to `timeline`.
  TimelineId timeline;
  Lsn from_lsn;
  Lsn to_lsn;
  std::string reason;  // of a branch "branch NAME on HOST"
  Timestamp created = {};
  Timestamp until = {};  // not valid: for good
  bool operator==(const Hold&) const = default;
};

// Durable when it returns; returns its id.
Result<std::string> put_hold(const ClusterSpace& space, Hold hold, const Clock& clock);

// One that does not open keeps what nobody knows: prune removes nothing then.
struct HoldList {
  struct Damaged {
    std::string id;
    Error error;
  };
  std::vector<Hold> holds;  // oldest first
  std::vector<Damaged> damaged;
};
// Errors: those of the store, and damaged, where the disk does not give one back: it may the next time.
Result<HoldList> list_holds(const ClusterSpace& space);

// It keeps nothing any more.
[[nodiscard]] bool has_ended(const Hold& hold, Timestamp now);

// Error: not_found (the hint says how to list them).
Result<void> remove_hold(const ClusterSpace& space, std::string_view id);
// The same for who has the store and no key; one that is gone is no error.
Result<void> remove_hold(ObjectStore& store, std::string_view cluster, std::string_view id);

using WalSegmentIds = std::set<std::pair<TimelineId, Lsn>>;  // timeline and start of each

// A hold on what a plan reads, for who is about to read it: `segments` are those of its WAL. Errors: not_found, when prune
// has taken the snapshot or some of the WAL away or is about to; then no hold is left behind. Those of the store: nothing is
// known then, and who reads a repository that it may not write to reads without.
Result<std::string> hold_for_reading(const ClusterSpace& space, Hold hold, const WalSegmentIds& segments,
                                     std::uint32_t wal_segment_bytes, const Clock& clock);

}  // namespace pgstrata
