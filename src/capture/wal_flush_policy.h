// When received WAL is made durable before its segment is full, and when to look for more.
//
// A flush costs a sync of the store, which takes from the source's own syncs where both are on one disk, so
// bytes are gathered: until the stream pauses, when nothing was flushed just before, and no longer than the
// promise allows. Nor is each of the small messages of a busy server worth waking for: when all that came is
// taken, the receiver rests. Where the source's commits wait for us there is no rest, and a flush is due as
// soon as nothing more is at hand; what arrives meanwhile makes the next batch. While more than a segment is
// known to be on its way, a pause says nothing, and the segment will be sealed sooner than a flush would pay.
//
// Where each flush is a request that is paid for (a store without journals), bytes are gathered for longer: what is
// left of the second is enough for a request.
// Belongs to one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>

#include "base/timestamp.h"

namespace pgstrata {

class WalFlushPolicy {
 public:
  // A stream that has paused this long has said all it had.
  static constexpr std::chrono::milliseconds pause{5};
  // When a flush is due at the latest: a fifth of the second promised. A rest and what is taken along may be
  // added to it; what is left is for the store.
  static constexpr std::chrono::milliseconds longest_wait{200};
  static constexpr std::chrono::milliseconds longest_wait_behind{1000};
  static constexpr std::chrono::milliseconds longest_wait_for_request{400};
  // How long a flush that is due waits for what is at hand to be taken along.
  static constexpr std::chrono::milliseconds longest_taking_along = longest_wait;
  static constexpr std::chrono::milliseconds rest{50};
  // A server that has more to send fills its messages: 128 KiB, less where a segment ends or a page begins.
  static constexpr std::size_t full_message_bytes = 64U << 10;

  explicit WalFlushPolicy(std::chrono::milliseconds wait_max = longest_wait) : wait_max_(wait_max) {}

  // A message came, and with it bytes that are not durable yet.
  void received(SteadyTime now, std::size_t message_bytes) {
    if (!oldest_) oldest_ = now;
    newest_ = now;
    may_rest_ = message_bytes < full_message_bytes;
  }
  // More than a segment is still to come.
  void set_behind(bool behind) { behind_ = behind; }
  // None are left that a flush would help: they are durable, or their segment is full and being sealed.
  void settled() { oldest_.reset(); }
  // The same by a flush that has ended now.
  void flushed(SteadyTime now) {
    flushed_ = now;
    settled();
  }

  // Whether to rest once all that came is taken, when no commit waits for us: once after each arrival.
  [[nodiscard]] bool may_rest() const { return may_rest_ && !behind_; }
  void rested() { may_rest_ = false; }

  // Nothing when nothing is to be flushed.
  [[nodiscard]] std::optional<SteadyTime> due() const {
    if (!oldest_) return std::nullopt;
    if (behind_) return *oldest_ + longest_wait_behind;
    // A busy server pauses at each of its own syncs.
    const SteadyTime at_pause = flushed_ ? std::max(newest_ + pause, *flushed_ + wait_max_) : newest_ + pause;
    return std::min(*oldest_ + wait_max_, at_pause);
  }

 private:
  const std::chrono::milliseconds wait_max_;
  std::optional<SteadyTime> oldest_;
  SteadyTime newest_;
  std::optional<SteadyTime> flushed_;
  bool behind_ = false;
  bool may_rest_ = false;
};

}  // namespace pgstrata
