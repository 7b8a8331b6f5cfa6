// When received WAL is made durable before its segment is full.
//
// A flush costs a sync of the store, which takes from the source's own syncs where both are on one disk, so
// bytes are gathered: until the stream pauses, when nothing was flushed just before, and no longer than the
// promise allows. Where the source's commits wait for us, a flush is due as soon as nothing more is at hand;
// what arrives meanwhile makes the next batch. While more than a segment is known to be on its way, a pause
// says nothing, and the segment will be sealed sooner than a flush would pay. Belongs to one thread.
#pragma once

#include <algorithm>
#include <optional>

#include "base/timestamp.h"

namespace pgstrata {

class WalFlushPolicy {
 public:
  // A stream that has paused this long has said all it had.
  static constexpr std::chrono::milliseconds pause{5};
  // The longest that a byte waits; a fifth of the second promised, the rest is for the store.
  static constexpr std::chrono::milliseconds longest_wait{200};
  static constexpr std::chrono::milliseconds longest_wait_behind{1000};
  // A busy server pauses at each of its own syncs.
  static constexpr std::chrono::milliseconds between_flushes = longest_wait;

  // Bytes came that are not durable yet.
  void received(SteadyTime now) {
    if (!oldest_) oldest_ = now;
    newest_ = now;
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

  // Nothing when nothing is to be flushed.
  [[nodiscard]] std::optional<SteadyTime> due() const {
    if (!oldest_) return std::nullopt;
    if (behind_) return *oldest_ + longest_wait_behind;
    const SteadyTime at_pause =
        flushed_ ? std::max(newest_ + pause, *flushed_ + between_flushes) : newest_ + pause;
    return std::min(*oldest_ + longest_wait, at_pause);
  }

 private:
  std::optional<SteadyTime> oldest_;
  SteadyTime newest_;
  std::optional<SteadyTime> flushed_;
  bool behind_ = false;
};

}  // namespace pgstrata
