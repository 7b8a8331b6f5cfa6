#include "cli/progress_meter.h"

#include <algorithm>

#include "cli/human.h"

namespace pgstrata {
namespace {

// A rate over less than this jumps about.
constexpr std::chrono::milliseconds rate_window{1000};
// How much the newest window counts.
constexpr double rate_weight = 0.4;

}  // namespace

void ProgressMeter::begin(std::string what) {
  what_ = std::move(what);
  since_.reset();
  rate_bytes_per_second_ = 0;
  console_.show_progress(what_ + " ...");
}

void ProgressMeter::measure(std::uint64_t done_bytes) {
  const SteadyTime now = clock_.steady();
  if (!since_ || done_bytes < since_bytes_) {
    since_ = now;
    since_bytes_ = done_bytes;
  }
  const auto span = now - *since_;
  if (span < rate_window) return;
  const double rate =
      static_cast<double>(done_bytes - since_bytes_) / std::chrono::duration<double>(span).count();
  rate_bytes_per_second_ =
      rate_bytes_per_second_ == 0 ? rate : rate_weight * rate + (1 - rate_weight) * rate_bytes_per_second_;
  since_ = now;
  since_bytes_ = done_bytes;
}

void ProgressMeter::update(std::uint64_t done_bytes, std::uint64_t total_bytes) {
  measure(done_bytes);
  console_.show_progress(progress_line(what_, {.done_bytes = done_bytes,
                                               .total_bytes = total_bytes,
                                               .rate_bytes_per_second = rate_bytes_per_second_}));
}

void ProgressMeter::update_counted(std::uint64_t done, std::uint64_t total, std::uint64_t done_bytes) {
  measure(done_bytes);
  console_.show_progress(fmt::format("{}  {} of {}  {}  {}/s", what_, done, total, human_size(done_bytes),
                                     human_size(static_cast<std::uint64_t>(rate_bytes_per_second_))));
}

std::string progress_line(std::string_view what, const ProgressFigures& figures) {
  std::string line = fmt::format("{}  {}", what, human_size(figures.done_bytes));
  if (figures.total_bytes > 0) {
    const double share =
        std::min(1.0, static_cast<double>(figures.done_bytes) / static_cast<double>(figures.total_bytes));
    line += fmt::format(" of {}  {:.0f}%", human_size(figures.total_bytes), 100 * share);
  }
  if (figures.rate_bytes_per_second < 1) return line;
  line += fmt::format("  {}/s", human_size(static_cast<std::uint64_t>(figures.rate_bytes_per_second)));
  if (figures.total_bytes > figures.done_bytes) {
    const double left =
        static_cast<double>(figures.total_bytes - figures.done_bytes) / figures.rate_bytes_per_second;
    line +=
        fmt::format("  {} left", human_duration(std::chrono::seconds(static_cast<std::int64_t>(left + 1))));
  }
  return line;
}

}  // namespace pgstrata
