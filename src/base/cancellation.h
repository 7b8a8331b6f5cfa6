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

// Asks `done` again and again until it is so; false when the limit passed first.
template <class Done>
bool wait_until(const Done& done, std::chrono::milliseconds limit) {
  constexpr auto ask_again_after = std::chrono::milliseconds(5);
  const Cancellation never;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    never.wait_for(ask_again_after);
  }
  return true;
}

}  // namespace pgstrata
