#include "catalog/retention.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

namespace pgstrata {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

sys_days day_of(Timestamp time) {
  return std::chrono::floor<days>(
      std::chrono::sys_time<std::chrono::microseconds>(std::chrono::microseconds(time.micros)));
}

// Each returns what is equal for two moments of the same hour (day, ...) alone.
std::int64_t hour_number(Timestamp time) {
  return std::chrono::floor<std::chrono::hours>(std::chrono::microseconds(time.micros)).count();
}
std::int64_t day_number(Timestamp time) {
  return day_of(time).time_since_epoch().count();
}
// 1970-01-01 was a Thursday.
std::int64_t week_number(Timestamp time) {
  return std::chrono::floor<std::chrono::weeks>(day_of(time).time_since_epoch() + days(3)).count();
}
std::int64_t month_number(Timestamp time) {
  const std::chrono::year_month_day date(day_of(time));
  return std::int64_t{static_cast<int>(date.year())} * 12 + static_cast<unsigned>(date.month());
}
std::int64_t year_number(Timestamp time) {
  return static_cast<int>(std::chrono::year_month_day(day_of(time)).year());
}

}  // namespace

std::string_view to_string(KeepRule rule) {
  switch (rule) {
    case KeepRule::everything:
      return "everything";
    case KeepRule::newest:
      return "newest";
    case KeepRule::window:
      return "window";
    case KeepRule::floor:
      return "floor";
    case KeepRule::hourly:
      return "hourly";
    case KeepRule::daily:
      return "daily";
    case KeepRule::weekly:
      return "weekly";
    case KeepRule::monthly:
      return "monthly";
    case KeepRule::yearly:
      return "yearly";
    case KeepRule::hold:
      return "hold";
    case KeepRule::damaged:
      return "damaged";
  }
  return "damaged";
}

std::vector<std::vector<KeepRule>> keep_by_calendar(const RetentionPolicy& policy,
                                                    std::span<const Timestamp> times, Timestamp now) {
  struct Rule {
    KeepRule name;
    std::chrono::seconds span;
    std::int64_t (*period)(Timestamp);
  };
  const std::array<Rule, 5> rules{{{KeepRule::hourly, policy.hourly, hour_number},
                                   {KeepRule::daily, policy.daily, day_number},
                                   {KeepRule::weekly, policy.weekly, week_number},
                                   {KeepRule::monthly, policy.monthly, month_number},
                                   {KeepRule::yearly, policy.yearly, year_number}}};
  std::vector<std::vector<KeepRule>> kept(times.size());
  for (const Rule& rule : rules) {
    if (rule.span.count() == 0) continue;
    std::map<std::int64_t, std::size_t> newest;
    for (std::size_t at = 0; at < times.size(); ++at) {
      const auto [there, first] = newest.emplace(rule.period(times[at]), at);
      if (!first && times[at] >= times[there->second]) there->second = at;
    }
    for (const auto& [period, at] : newest) {
      if (now - times[at] <= rule.span) kept[at].push_back(rule.name);
    }
  }
  return kept;
}

}  // namespace pgstrata
