// `stream`: a cluster's WAL into the repository, until told to stop.
#pragma once

#include <functional>
#include <optional>

#include "app/roller.h"
#include "app/wal_arrival.h"

namespace pgstrata {

struct StreamRequest {
  std::optional<Lsn> until = {};  // end once everything before it is durable
  // Rolled snapshots are made beside it; nothing: none are.
  struct Rolling {
    std::string repository;  // its location, absolute
    std::filesystem::path state_directory;
    RollPacing pacing = {};
  };
  std::optional<Rolling> rolling = {};
  // Called on the receiver's thread when something in it has changed; must return soon.
  std::function<void(const WalReceiverStatus&)> on_status = {};
};

struct StreamOutcome {
  WalReceiverStatus last;  // as it was told last
};

// Under the stream lease. When WAL was lost, a new base backup is made beside the stream, and tried again
// until it succeeds: the gap stays, coverage begins anew after it. Success is also a stop on request. Errors:
// busy (another process streams the cluster), those of WalReceiver::run.
[[nodiscard]] Result<StreamOutcome> stream_cluster(const SourceWork& work, const StreamRequest& request);

}  // namespace pgstrata
