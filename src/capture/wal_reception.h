// What of receiving outlives a connection: the sink, what is told of it, and who is to blame when it fails.
// Internal to the receiver; belongs to its thread.
#pragma once

#include <memory>
#include <utility>

#include "capture/wal_receiver.h"
#include "capture/wal_sink.h"

namespace pgstrata {

struct WalReception {
  explicit WalReception(WalReceiverOptions given) : options(std::move(given)), backoff(options.random) {}

  // The result of something done with the repository: an error of it is not the source's.
  template <class T>
  Result<T> repository(Result<T> result) {
    if (!result) repository_failed = true;
    return result;
  }

  void set_state(WalReceiverState state, std::string problem = {}) {
    status.state = state;
    status.problem = std::move(problem);
    report();
  }
  // Tells the observer when something has changed.
  void report() {
    if (sink) {
      status.timeline = sink->timeline();
      status.received = sink->received();
      status.durable = sink->durable();
    }
    if (status == reported) return;
    reported = status;
    if (options.observer != nullptr) options.observer->wal_status(status);
  }
  // The source has spoken, on a connection that receives from `begun` on: all is well.
  void recovered(Lsn begun);
  [[nodiscard]] const std::string& name() const { return options.space.name(); }

  const WalReceiverOptions options;
  std::unique_ptr<WalSink> sink;
  WalBackoff backoff;
  WalReceiverStatus status;
  WalReceiverStatus reported;
  bool repository_failed = false;
  bool ever_streamed = false;
  bool source_recovers = false;  // a standby: it cannot tell what its primary has flushed
  // The loss that lasts, as far as the log tells.
  bool loss_told = false;
  std::string told_reason;  // the last one, and when
  SteadyTime told_at;
};

}  // namespace pgstrata
