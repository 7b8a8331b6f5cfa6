#include "storage/s3/bandwidth_limit.h"

#include <algorithm>
#include <thread>

namespace pgstrata {

SteadyTime BandwidthLimit::reserve(std::uint64_t size_bytes) {
  const SteadyTime now = clock_.steady();
  if (bytes_per_second_ == 0) return now;
  const auto taken = std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(
      static_cast<double>(size_bytes) / static_cast<double>(bytes_per_second_)));
  const std::lock_guard lock(mutex_);
  free_from_ = std::max(free_from_, now - std::chrono::seconds(1));
  const SteadyTime begin = std::max(now, free_from_);
  free_from_ += taken;
  return begin;
}

void BandwidthLimit::take(std::uint64_t size_bytes) {
  if (bytes_per_second_ != 0) std::this_thread::sleep_until(reserve(size_bytes));
}

}  // namespace pgstrata
