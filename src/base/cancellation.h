// A request to stop, seen by everything that can block.
//
// One Cancellation is made per command and passed by reference to whatever may wait. It can be requested
// from a signal handler. Waiting code either polls `requested()` between bounded steps or adds `poll_fd()`
// to its poll set. Thread-safe; never un-requested.
#pragma once

#include <atomic>
#include <chrono>

#include "base/result.h"

namespace pgstrata {

class Cancellation {
 public:
  Cancellation();
  ~Cancellation();
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  // Async-signal-safe.
  void request() noexcept;
  [[nodiscard]] bool requested() const noexcept { return requested_.load(std::memory_order_acquire); }

  // Becomes readable once requested, and stays so. Owned by this object.
  [[nodiscard]] int poll_fd() const noexcept { return event_fd_; }

  // Error: cancelled, when a stop was requested.
  [[nodiscard]] Result<void> check() const;

  // Returns after `span` or at once when stop is requested; true when it was requested.
  bool wait_for(std::chrono::milliseconds span) const;

 private:
  std::atomic<bool> requested_{false};
  int event_fd_;
};

}  // namespace pgstrata
