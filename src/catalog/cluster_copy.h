// Copies what a cluster's space holds into its space in another repository, object by object, as they are stored.
//
// What is there already is not copied again, so that a copy that was cut short, or an older one, is gone on with. At every
// moment the copy is sound: a snapshot appears when all that it needs is there. What was removed from the source since stays
// in the copy. Leases are not copied. Of WAL whose segment is not full, what there is now is written as one tail.
//
// The retention floor holds for the copy, too; what retention has let go of the source is not missing in a copy that never had
// it. Holds are each repository's own. Where a prune of the source was at work meanwhile, what is there then is copied.
//
// Every byte is authenticated on its way. What is damaged is left out and told, and so is a snapshot that needs it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "repo/lease.h"

namespace pgstrata {

struct CopyProgress {
  std::uint64_t objects = 0;  // of those that are not there
  std::uint64_t objects_total = 0;
  std::uint64_t bytes = 0;
};

struct CopyOptions {
  unsigned workers = 4;
  PublishingAllowed still_allowed;  // asked before a record appears or anything is replaced
  std::function<void(const CopyProgress&)> on_progress;  // may be empty; from one thread at a time
};

struct CopyReport {
  struct LeftOut {
    std::string name;  // in the source's store
    std::string what;
  };
  std::uint64_t objects = 0;        // copied
  std::uint64_t bytes = 0;          // of these
  std::uint64_t objects_there = 0;  // were there
  std::uint64_t snapshots = 0;      // in the copy, of the source's
  std::vector<LeftOut> left_out;
};

// Both spaces have the same name and key. Errors: busy (a prune of `to` is not finished); cancelled; those of `still_allowed`; those of the stores.
Result<CopyReport> copy_cluster(const ClusterSpace& from, const ClusterSpace& to,
                                std::uint32_t wal_segment_bytes, const CopyOptions& options,
                                const Cancellation& cancellation);

}  // namespace pgstrata
