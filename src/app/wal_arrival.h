// The WAL that makes a base backup consistent: seeing to it that it is in the repository.
#pragma once

#include <memory>
#include <thread>

#include "app/registered_cluster.h"
#include "app/stream_progress.h"

namespace pgstrata {

// A stream of this process, in a thread of its own, under the cluster's stream lease; it ends with the
// object.
class OwnStream {
 public:
  // Error: busy, when another process streams the cluster.
  static Result<std::unique_ptr<OwnStream>> start(const SourceWork& work);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  [[nodiscard]] StreamProgress& progress() { return progress_; }

 private:
  OwnStream(const SourceWork& work, Lease lease);
  void run(const SourceWork& work);

  Lease lease_;
  Cancellation stop_;  // its own: a backup that is stopped still ends its stream in good order
  StreamProgress progress_;
  std::thread thread_;
};

// Brings WAL in for the time it lives: by the stream that runs elsewhere, or by one of its own when none
// does. Belongs to one thread.
class WalArrival {
 public:
  // Returns when WAL comes in. Errors: cancelled; unavailable (none comes for a minute or two); those of
  // WalReceiver::run.
  static Result<WalArrival> start(const SourceWork& work);

  // Returns when everything of the timeline before `lsn` from its segment's start on is durable in the
  // repository; by a stream of its own, when that has come so far on whichever timeline it is. A stream
  // elsewhere that ends meanwhile is replaced by one of its own. Errors: as above.
  Result<void> wait_until_durable(TimelineId timeline, Lsn lsn);

  [[nodiscard]] bool own_stream() const { return own_ != nullptr; }

 private:
  explicit WalArrival(const SourceWork& work) : work_(work) {}
  // Starts an own stream unless another process streams.
  Result<void> take_over();

  SourceWork work_;
  std::unique_ptr<OwnStream> own_;
};

}  // namespace pgstrata
