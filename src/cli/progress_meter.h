// A progress line with rate and time left.
#pragma once

#include <optional>
#include <string>

#include "base/timestamp.h"
#include "cli/console.h"

namespace pgstrata {

// Shows "receiving  1.2 GiB of 5.2 GiB  23%  410 MiB/s  10 s left" while it lives, on a terminal. The rate is
// that of the last seconds. Called by one thread at a time.
class ProgressMeter {
 public:
  ProgressMeter(Console& console, const Clock& clock) : console_(console), clock_(clock) {}
  ~ProgressMeter() { console_.end_progress(); }
  ProgressMeter(const ProgressMeter&) = delete;
  ProgressMeter& operator=(const ProgressMeter&) = delete;

  // A step without figures; begins a new measurement.
  void begin(std::string what);
  void update(std::uint64_t done_bytes, std::uint64_t total_bytes);
  // Where the share done is known in objects and the rate in bytes.
  void update_counted(std::uint64_t done, std::uint64_t total, std::uint64_t done_bytes);

 private:
  void measure(std::uint64_t done_bytes);

  Console& console_;
  const Clock& clock_;
  std::string what_;
  std::optional<SteadyTime> since_;  // of the rate
  std::uint64_t since_bytes_ = 0;
  double rate_bytes_per_second_ = 0;
};

// The line itself. The total is an estimate: more may be done than it says, and zero means unknown.
struct ProgressFigures {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  double rate_bytes_per_second = 0;
};
[[nodiscard]] std::string progress_line(std::string_view what, const ProgressFigures& figures);

}  // namespace pgstrata
