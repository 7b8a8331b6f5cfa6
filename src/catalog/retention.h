// Retention: for how long what is kept. Pure: times in, reasons out.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/timestamp.h"

namespace pgstrata {

// Hours, days, weeks (from Monday), months and years are those of UTC.
struct RetentionPolicy {
  // Any second of this time can be restored. Nothing: everything is kept, and prune removes only what interrupted work left.
  std::optional<std::chrono::seconds> window;
  // For how long of it each snapshot is kept, from which opening a moment takes least; nothing: all of it. Before that the
  // window has what the rules below keep, and what its first second needs.
  std::optional<std::chrono::seconds> every;
  // The newest snapshot of each hour (day, ...) is kept for this long.
  std::chrono::seconds hourly{0};
  std::chrono::seconds daily{0};
  std::chrono::seconds weekly{0};
  std::chrono::seconds monthly{0};
  std::chrono::seconds yearly{0};
  // Nothing younger goes, whatever the rest says: a window that other rules and settings cannot make shorter.
  std::chrono::seconds floor{0};
  bool operator==(const RetentionPolicy&) const = default;
};

enum class KeepRule {
  everything,  // there is no policy
  newest,      // the last that can be restored is never removed
  window,      // some second of the window is restored from it
  floor,       // or of the floor
  hourly,
  daily,
  weekly,
  monthly,
  yearly,
  hold,
  damaged,  // what is wrong with it is repair's to decide
};
[[nodiscard]] std::string_view to_string(KeepRule rule);

// Which of the calendar's rules keep each of `times`: the newest of an hour and so on, when it is not older than the policy
// says, counted back from `now`.
[[nodiscard]] std::vector<std::vector<KeepRule>> keep_by_calendar(const RetentionPolicy& policy,
                                                                  std::span<const Timestamp> times,
                                                                  Timestamp now);

}  // namespace pgstrata
