// When to flush, when to mark, whom commits wait for, how long to wait, where histories part.
#include <gtest/gtest.h>

#include "capture/wal_backoff.h"
#include "capture/wal_flush_policy.h"
#include "capture/wal_fork.h"
#include "capture/wal_marks.h"
#include "capture/wal_receiver.h"
#include "capture/wal_synchronous.h"

namespace pgstrata {
namespace {

using std::chrono::milliseconds;

SteadyTime at(int ms) {
  return SteadyTime(std::chrono::hours(1) + milliseconds(ms));
}
Timestamp server_time(int ms) {
  return {1'795'255'200'000'000 + ms * 1000LL};
}

// A stalled stream is told within 30 s, whatever it was doing when the source fell silent.
constexpr WalReceiverTimings timings;
static_assert(timings.stalled_after < std::chrono::seconds(30));
static_assert(std::max(timings.pause_interval, timings.probe_after) + timings.answer_limit <
              std::chrono::seconds(30));

TEST(WalFlushPolicyTest, NothingIsDueWithoutBytes) {
  WalFlushPolicy policy;
  EXPECT_FALSE(policy.due());
  policy.received(at(0), 100);
  policy.settled();
  EXPECT_FALSE(policy.due());
}

TEST(WalFlushPolicyTest, AFlushIsDueWhenTheStreamPauses) {
  WalFlushPolicy policy;
  policy.received(at(0), 100);
  EXPECT_EQ(policy.due(), at(0) + WalFlushPolicy::pause);
  policy.received(at(3), 100);
  EXPECT_EQ(policy.due(), at(3) + WalFlushPolicy::pause);
}

TEST(WalFlushPolicyTest, PausesOfABusyServerDoNotMakeAFlushEach) {
  WalFlushPolicy policy;
  policy.received(at(0), 100);
  policy.flushed(at(6));
  policy.received(at(10), 100);
  EXPECT_EQ(policy.due(), at(6) + WalFlushPolicy::longest_wait);
  policy.received(at(150), 100);
  EXPECT_EQ(policy.due(), at(6) + WalFlushPolicy::longest_wait);
  policy.flushed(at(206));
  policy.received(at(1000), 100);
  EXPECT_EQ(policy.due(), at(1000) + WalFlushPolicy::pause) << "a single commit does not wait";
}

TEST(WalFlushPolicyTest, NoByteWaitsLongerThanTheLimitHoweverMuchFollows) {
  WalFlushPolicy policy;
  for (int ms = 0; ms < 400; ++ms) policy.received(at(ms), 100);
  EXPECT_EQ(policy.due(), at(0) + WalFlushPolicy::longest_wait);
}

TEST(WalFlushPolicyTest, WhereEachFlushIsPaidForBytesWaitLonger) {
  WalFlushPolicy policy(WalFlushPolicy::longest_wait_for_request);
  for (int ms = 0; ms < 600; ++ms) policy.received(at(ms), 100);
  EXPECT_EQ(policy.due(), at(0) + WalFlushPolicy::longest_wait_for_request);
  policy.flushed(at(600));
  policy.received(at(700), 100);
  EXPECT_EQ(policy.due(), at(600) + WalFlushPolicy::longest_wait_for_request);
  policy.flushed(at(1000));
  policy.received(at(5000), 100);
  EXPECT_EQ(policy.due(), at(5000) + WalFlushPolicy::pause) << "a single commit does not wait";
}

TEST(WalFlushPolicyTest, APauseSaysNothingWhileMuchIsStillToCome) {
  WalFlushPolicy policy;
  policy.set_behind(true);
  policy.received(at(0), 100);
  EXPECT_EQ(policy.due(), at(0) + WalFlushPolicy::longest_wait_behind);
  policy.set_behind(false);
  EXPECT_EQ(policy.due(), at(0) + WalFlushPolicy::pause);
}

TEST(WalFlushPolicyTest, RestsOnceAfterEachArrivalOfLittle) {
  WalFlushPolicy policy;
  EXPECT_FALSE(policy.may_rest()) << "nothing came";
  policy.received(at(0), 100);
  EXPECT_TRUE(policy.may_rest());
  policy.rested();
  EXPECT_FALSE(policy.may_rest());
  policy.received(at(50), 100);
  EXPECT_TRUE(policy.may_rest());
}

TEST(WalFlushPolicyTest, DoesNotRestWhileMoreIsToCome) {
  WalFlushPolicy policy;
  policy.received(at(0), 128U << 10);
  EXPECT_FALSE(policy.may_rest()) << "a full message";
  policy.received(at(1), 100);
  EXPECT_TRUE(policy.may_rest());
  policy.set_behind(true);
  EXPECT_FALSE(policy.may_rest());
}

TEST(WalMarksTest, AMarkClaimsNothingWhileWalIsMissing) {
  WalMarks marks;
  EXPECT_FALSE(marks.with_flush(Lsn{100}, at(0)));
  marks.observe(Lsn{101}, server_time(0), true, at(0));
  EXPECT_FALSE(marks.with_flush(Lsn{100}, at(0)));
  const auto mark = marks.with_flush(Lsn{101}, at(0));
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->lsn, Lsn{101});
  EXPECT_EQ(mark->time, server_time(0) - WalMarks::margin);
}

TEST(WalMarksTest, FlushesCarryAMarkOnceASecond) {
  WalMarks marks;
  marks.observe(Lsn{100}, server_time(0), true, at(0));
  marks.written(*marks.with_flush(Lsn{100}, at(0)), at(0));
  marks.observe(Lsn{200}, server_time(999), true, at(999));
  EXPECT_FALSE(marks.with_flush(Lsn{200}, at(999)));
  EXPECT_TRUE(marks.with_flush(Lsn{200}, at(1000)));
}

TEST(WalMarksTest, TheLastDataIsMarkedSoonThenSilenceEveryTenSeconds) {
  WalMarks marks;
  marks.observe(Lsn{100}, server_time(0), true, at(0));
  marks.written(*marks.with_flush(Lsn{100}, at(0)), at(0));
  ASSERT_TRUE(marks.wants_message_at());
  EXPECT_GT(*marks.wants_message_at(), at(0) + WalMarks::margin);

  marks.observe(Lsn{100}, server_time(900), false, at(900));
  EXPECT_FALSE(marks.when_idle(Lsn{100}, at(900))) << "does not cover the data yet";
  marks.observe(Lsn{100}, server_time(1100), false, at(1100));
  const auto covering = marks.when_idle(Lsn{100}, at(1100));
  ASSERT_TRUE(covering);
  EXPECT_GE(covering->time, server_time(0));
  marks.written(*covering, at(1100));
  EXPECT_FALSE(marks.wants_message_at());

  marks.observe(Lsn{100}, server_time(5000), false, at(5000));
  EXPECT_FALSE(marks.when_idle(Lsn{100}, at(5000)));
  marks.observe(Lsn{100}, server_time(11'100), false, at(11'100));
  EXPECT_TRUE(marks.when_idle(Lsn{100}, at(11'100)));
}

TEST(WalMarksTest, AClockThatStepsBackWritesNoEarlierMark) {
  WalMarks marks;
  marks.observe(Lsn{100}, server_time(5000), false, at(0));
  marks.written(*marks.when_idle(Lsn{100}, at(0)), at(0));
  marks.observe(Lsn{100}, server_time(-60'000), false, at(20'000));
  EXPECT_FALSE(marks.when_idle(Lsn{100}, at(20'000)));
}

TEST(WalSynchronousTest, UnderstandsEachFormOfTheSetting) {
  for (const auto* names :
       {"pgstrata", "*", "PgStrata", "\"pgstrata\"", "a, pgstrata", "FIRST 1 (a, pgstrata)", "first 2 (*)",
        "ANY 2 (a,b,pgstrata)", "2 (pgstrata, b)", "\"*\"", " \"a \"\"b\" ,\tpgstrata "}) {
    EXPECT_TRUE(is_synchronous_standby(names, "pgstrata")) << names;
  }
  for (const auto* names : {"", " ", "pgstrata2", "\"pgstrata \"", "FIRST 1 (a, b)", "a, b",
                            "\"a, pgstrata, b\"", "ANY 1 (\"x(pgstrata)\")"}) {
    EXPECT_FALSE(is_synchronous_standby(names, "pgstrata")) << names;
  }
  EXPECT_TRUE(is_synchronous_standby("first", "first"));
  EXPECT_FALSE(is_synchronous_standby("FIRST 1 (a)", "first"));
}

TEST(WalBackoffTest, GrowsToTenSecondsAndStartsAgain) {
  WalBackoff steady([] { return 0.0; });
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 8; ++i) waits.push_back(steady.next().count());
  EXPECT_EQ(waits, (std::vector<std::int64_t>{200, 400, 800, 1600, 3200, 6400, 10'000, 10'000}));
  steady.reset();
  EXPECT_EQ(steady.next().count(), 200);
  WalBackoff spread([] { return 0.999; });
  EXPECT_LT(spread.next().count(), 160);
}

TEST(WalForkTest, FindsTheLastTimelineInCommon) {
  const TimelineHistory ours{{2}, {{{1}, {100}, ""}}};
  EXPECT_EQ(find_fork(ours, {{3}, {{{1}, {100}, ""}, {{2}, {300}, ""}}}), (TimelineFork{{2}, {3}, {300}}));
  EXPECT_EQ(find_fork(ours, {{3}, {{{1}, {90}, ""}}}), (TimelineFork{{1}, {3}, {90}})) << "two were promoted";
  EXPECT_EQ(find_fork(ours, {{5}, {{{1}, {100}, ""}, {{2}, {300}, ""}, {{4}, {400}, ""}}}),
            (TimelineFork{{2}, {4}, {300}}))
      << "one step at a time";
  EXPECT_EQ(find_fork(ours, {{1}, {}}), std::nullopt) << "the old primary";
  EXPECT_EQ(find_fork(ours, {{9}, {{{7}, {90}, ""}}}), std::nullopt);
}

}  // namespace
}  // namespace pgstrata
