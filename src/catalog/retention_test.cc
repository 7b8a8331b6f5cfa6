#include "catalog/retention.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using std::chrono::days;
using std::chrono::hours;

Timestamp at(std::string_view text) {
  return parse_rfc3339(text).value();
}

std::string rules_of(const RetentionPolicy& policy, std::vector<Timestamp> times, Timestamp now) {
  std::vector<std::string> all;
  for (const auto& rules : keep_by_calendar(policy, times, now)) {
    all.emplace_back();
    for (const KeepRule rule : rules) all.back() += fmt::format("{},", to_string(rule));
  }
  return fmt::format("{}", fmt::join(all, " | "));
}

TEST(RetentionTest, TheNewestOfEachDayWhateverTheOrder) {
  RetentionPolicy policy;
  policy.daily = days(2);
  EXPECT_EQ(rules_of(policy,
                     {at("2026-11-21T23:59:59Z"), at("2026-11-22T00:00:00Z"), at("2026-11-21T10:00:00Z"),
                      at("2026-11-19T23:00:00Z"), at("2026-11-22T05:00:00Z")},
                     at("2026-11-22T12:00:00Z")),
            "daily, |  |  |  | daily,");
}

TEST(RetentionTest, AWeekBeginsOnMondayAndAYearInJanuary) {
  RetentionPolicy policy;
  policy.weekly = days(900);
  policy.yearly = days(900);
  // 2026-12-28 is a Monday.
  EXPECT_EQ(rules_of(policy,
                     {at("2026-12-27T12:00:00Z"), at("2026-12-28T12:00:00Z"), at("2026-12-31T12:00:00Z"),
                      at("2027-01-03T12:00:00Z"), at("2027-01-04T12:00:00Z")},
                     at("2027-01-05T00:00:00Z")),
            "weekly, |  | yearly, | weekly, | weekly,yearly,");
}

TEST(RetentionTest, OfTheNewestOfAPeriodItsAgeCounts) {
  RetentionPolicy policy;
  policy.monthly = days(31);
  EXPECT_EQ(
      rules_of(policy, {at("2026-10-31T12:00:00Z"), at("2026-11-30T12:00:00Z")}, at("2026-12-01T12:00:00Z")),
      "monthly, | monthly,");
  EXPECT_EQ(
      rules_of(policy, {at("2026-10-31T12:00:00Z"), at("2026-11-30T12:00:00Z")}, at("2026-12-01T12:00:01Z")),
      " | monthly,");
}

TEST(RetentionTest, BeforeTheEpochThereAreDaysToo) {
  RetentionPolicy policy;
  policy.daily = days(1);
  EXPECT_EQ(
      rules_of(policy, {at("1969-12-31T23:00:00Z"), at("1970-01-01T01:00:00Z")}, at("1970-01-01T02:00:00Z")),
      "daily, | daily,");
}

}  // namespace
}  // namespace pgstrata
