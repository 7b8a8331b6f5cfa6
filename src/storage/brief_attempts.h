// How long a request may be repeated, for who is allowed what he asks for only for a moment: by a lease.
#pragma once

#include <chrono>
#include <optional>

namespace pgstrata {

// While one lives, no try of a request that this thread makes of a far store begins later than `limit` after the first.
// The error is then the last try's; what was asked for may have been done. The innermost counts. A request that one of a
// writer's own threads sends is not meant: those are parts of something that nobody sees before it is whole.
class BriefAttempts {
 public:
  explicit BriefAttempts(std::chrono::milliseconds limit) : outer_(current_) { current_ = limit; }
  ~BriefAttempts() { current_ = outer_; }
  BriefAttempts(const BriefAttempts&) = delete;
  BriefAttempts& operator=(const BriefAttempts&) = delete;

  // Of this thread, now.
  [[nodiscard]] static std::optional<std::chrono::milliseconds> limit() { return current_; }

 private:
  static inline thread_local std::optional<std::chrono::milliseconds> current_;
  const std::optional<std::chrono::milliseconds> outer_;
};

}  // namespace pgstrata
