// A limit of bytes a second for all threads that share it.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/timestamp.h"

namespace pgstrata {

// Thread-safe.
class BandwidthLimit {
 public:
  // 0: no limit.
  explicit BandwidthLimit(std::uint64_t bytes_per_second, const Clock& clock)
      : bytes_per_second_(bytes_per_second), clock_(clock) {}

  // When so many bytes may go: from now on, after those that were asked for before. A second's worth may go at once
  // after a silence.
  [[nodiscard]] SteadyTime reserve(std::uint64_t size_bytes);
  // Waits until then.
  void take(std::uint64_t size_bytes);

 private:
  const std::uint64_t bytes_per_second_;
  const Clock& clock_;
  std::mutex mutex_;
  SteadyTime free_from_{};  // guarded by mutex_
};

}  // namespace pgstrata
