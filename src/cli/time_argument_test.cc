#include "cli/time_argument.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

class FixedClock final : public Clock {
 public:
  explicit FixedClock(std::string_view moment) : now_(parse_rfc3339(moment).value()) {}
  Timestamp now() const override { return now_; }
  SteadyTime steady() const override { return {}; }

 private:
  Timestamp now_;
};

class TimeArgument : public ::testing::Test {
 protected:
  // RFC 3339 of what the text means, or the error's message.
  std::string parsed(std::string_view text, std::optional<std::string> zone = "UTC") {
    const auto moment = parse_time_argument(text, {.clock = clock_, .zone = std::move(zone)});
    if (moment.has_value()) return to_rfc3339(*moment);
    EXPECT_EQ(moment.error().code(), ErrorCode::usage);
    EXPECT_FALSE(moment.error().hint().empty());
    return moment.error().message();
  }

  FixedClock clock_{"2026-11-21T10:30:15Z"};
};

TEST_F(TimeArgument, ReadsRfc3339WhateverTheZone) {
  EXPECT_EQ(parsed("2026-11-21T10:00:00Z", "Asia/Tokyo"), "2026-11-21T10:00:00Z");
  EXPECT_EQ(parsed("2026-11-21 10:00:00+01:00", "Asia/Tokyo"), "2026-11-21T09:00:00Z");
  EXPECT_EQ(parsed("2026-11-21 10:00:00.123456+01"), "2026-11-21T09:00:00.123456Z");
}

TEST_F(TimeArgument, ReadsWhatPgstrataPrintsWhateverTheZone) {
  EXPECT_EQ(parsed("2026-11-21 15:15:30 UTC", "Asia/Tokyo"), "2026-11-21T15:15:30Z");
  EXPECT_EQ(parsed("2026-11-21 15:15:30.123456 UTC", "Asia/Tokyo"), "2026-11-21T15:15:30.123456Z");
  EXPECT_EQ(parsed("2026-11-21 15:15:30.5Z", "Asia/Tokyo"), "2026-11-21T15:15:30.5Z");
  EXPECT_EQ(parsed("2026-11-21 15:15 UTC", "Asia/Tokyo"), "2026-11-21T15:15:00Z");
  const Timestamp moment = parse_rfc3339("2026-11-21T15:15:30.000001Z").value();
  EXPECT_EQ(parsed(to_display(moment), "Asia/Tokyo"), to_rfc3339(moment));
}

TEST_F(TimeArgument, ReadsWhatServerLogsAndToolsPrintWhateverTheZone) {
  EXPECT_EQ(parsed("2026-11-21 22:16:30 GMT", "Asia/Tokyo"), "2026-11-21T22:16:30Z");
  EXPECT_EQ(parsed("2026-11-21 22:16:30.123 GMT", "Asia/Tokyo"), "2026-11-21T22:16:30.123Z");
  for (const char* text :
       {"2026-11-21 22:16:30+0100", "2026-11-21 22:16:30 +0100", "2026-11-21T22:16:30+0100",
        "2026-11-21 22:16:30 +01", "2026-11-21 22:16:30 +01:00", "2026-11-21 16:16:30 -0500"}) {
    EXPECT_EQ(parsed(text, "Asia/Tokyo"), "2026-11-21T21:16:30Z") << text;
  }
  EXPECT_EQ(parsed("2026-11-21 22:16 +0530", "Asia/Tokyo"), "2026-11-21T16:46:00Z");
}

TEST_F(TimeArgument, SaysWhatToWriteForAnAbbreviatedZone) {
  const auto refused = parse_time_argument("2026-11-21 22:16:30 CET", {.clock = clock_, .zone = "UTC"});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().hint(), ::testing::HasSubstr("in the place of CET"));
  EXPECT_THAT(refused.error().hint(), ::testing::HasSubstr("+01:00"));
  EXPECT_THAT(refused.error().hint(), ::testing::HasSubstr("--tz"));
}

TEST_F(TimeArgument, ReadsLocalTimes) {
  EXPECT_EQ(parsed("2026-11-21 10:00", "Europe/Berlin"), "2026-11-21T09:00:00Z");
  EXPECT_EQ(parsed("2026-07-01 10:00:05", "Europe/Berlin"), "2026-07-01T08:00:05Z");
  EXPECT_EQ(parsed("2026-07-01 10:00:05.25", "Europe/Berlin"), "2026-07-01T08:00:05.25Z");
  EXPECT_EQ(parsed("2026-07-01T10:00:05", "America/New_York"), "2026-07-01T14:00:05Z");
  EXPECT_EQ(parsed("  2026-11-21 10:00 "), "2026-11-21T10:00:00Z");
}

TEST_F(TimeArgument, TakesTheZoneOfTheEnvironment) {
  const char* before = std::getenv("TZ");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TZ", ":Asia/Tokyo", 1);
  EXPECT_EQ(parsed("2026-11-21 10:00", std::nullopt), "2026-11-21T01:00:00Z");
  setenv("TZ", "Nowhere/Land", 1);
  EXPECT_THAT(parsed("2026-11-21 10:00", std::nullopt), ::testing::HasSubstr("variable TZ"));
  before == nullptr ? unsetenv("TZ") : setenv("TZ", saved.c_str(), 1);
}

TEST_F(TimeArgument, ReadsWhatIsRelativeToNow) {
  EXPECT_EQ(parsed("now"), "2026-11-21T10:30:15Z");
  EXPECT_EQ(parsed("2h ago"), "2026-11-21T08:30:15Z");
  EXPECT_EQ(parsed("90m ago"), "2026-11-21T09:00:15Z");
  EXPECT_EQ(parsed("90 minutes ago"), "2026-11-21T09:00:15Z");
  EXPECT_EQ(parsed("15 s ago"), "2026-11-21T10:30:00Z");
  EXPECT_EQ(parsed("1 day ago"), "2026-11-20T10:30:15Z");
  EXPECT_EQ(parsed("2w ago"), "2026-11-07T10:30:15Z");
  EXPECT_EQ(parsed("365000d ago"), "1027-07-22T10:30:15Z");
  EXPECT_EQ(parsed("today 09:15"), "2026-11-21T09:15:00Z");
  EXPECT_EQ(parsed("yesterday 14:00:30"), "2026-11-20T14:00:30Z");
  // In Tokyo it is the 21st, 19:30; in Honolulu the 21st, 00:30.
  EXPECT_EQ(parsed("yesterday 14:00", "Asia/Tokyo"), "2026-11-20T05:00:00Z");
  EXPECT_EQ(parsed("today 00:10", "Pacific/Honolulu"), "2026-11-21T10:10:00Z");
}

TEST_F(TimeArgument, SaysBothReadingsOfATimeThatCameTwice) {
  EXPECT_EQ(parsed("2026-10-25 02:30", "Europe/Berlin"),
            "2026-10-25 02:30:00 came twice in Europe/Berlin: 2026-10-25T02:30:00+02:00 or "
            "2026-10-25T02:30:00+01:00");
}

TEST_F(TimeArgument, SaysBothReadingsOfATimeThatNeverWas) {
  EXPECT_EQ(parsed("2026-03-29 02:30", "Europe/Berlin"),
            "2026-03-29 02:30:00 did not exist, the clocks jumped over it, in Europe/Berlin: "
            "2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00");
}

TEST_F(TimeArgument, RefusesAllElse) {
  for (const char* text : {"",
                           "soon",
                           "2026-11-21",
                           "2026-13-01 10:00",
                           "2026-02-30 10:00",
                           "2026-11-21 24:00",
                           "2026-11-21 10:60",
                           "10:00",
                           "2h",
                           "h ago",
                           "2 fortnights ago",
                           "yesterday",
                           "tomorrow 10:00",
                           "99999999999h ago",
                           "999999999w ago",
                           "365001d ago",
                           "2026-11-21 10:00:00x",
                           "-2h ago",
                           "UTC",
                           "2026-11-21 10:00:00UTC",
                           "2026-11-21 10:00:00Z UTC",
                           "2026-11-21 10:00 CET",
                           "2026-11-21 10:00:00 UTC+1",
                           "2026-11-21 10:00:00 +1",
                           "2026-11-21 10:00:00 +01:0",
                           "2026-11-21 10:00:00 +010",
                           "2026-11-21 10:00:00 +2400",
                           "2026-11-21 10:00:00 +01000"}) {
    EXPECT_EQ(parsed(text), fmt::format("\"{}\" is not a time", text));
  }
  EXPECT_EQ(parsed("2026-11-21 10:00", "Europe/Atlantis"), "there is no time zone \"Europe/Atlantis\"");
}

}  // namespace
}  // namespace pgstrata
