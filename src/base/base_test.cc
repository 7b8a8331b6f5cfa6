#include <thread>

#include <gtest/gtest.h>

#include "base/bounded_queue.h"
#include "base/cancellation.h"
#include "base/timestamp.h"
#include "base/types.h"

namespace pgstrata {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return fail(ErrorCode::usage, "{} is odd", number);
  return number / 2;
}

Result<int> quarter(int number) {
  PGS_TRY(const int once, half(number).context("first"));
  PGS_TRY(const int twice, half(once).context("second"));
  return twice;
}

TEST(Result, PropagatesValueAndContext) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().describe(), "second: 3 is odd");
  EXPECT_EQ(exit_code(quarter(5).error().code()), 2);
}

TEST(Lsn, RoundTrips) {
  EXPECT_EQ(parse_lsn("16/B374D848").value().value, 0x16B374D848U);
  EXPECT_EQ(to_string(Lsn{0x16B374D848}), "16/B374D848");
  EXPECT_EQ(to_string(Lsn{0x3000028}), "0/3000028");
  for (const auto* bad : {"", "/", "16", "1/2/3", "G/1", "123456789/0", "0/ 1", "-1/0"}) {
    EXPECT_FALSE(parse_lsn(bad).has_value()) << bad;
  }
}

TEST(Timestamp, Rfc3339RoundTrips) {
  EXPECT_EQ(to_rfc3339(Timestamp{0}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(to_rfc3339(parse_rfc3339("2026-11-21T10:00:00.250+01:00").value()), "2026-11-21T09:00:00.25Z");
  EXPECT_EQ(to_display(parse_rfc3339("2026-11-21 10:00:00z").value()), "2026-11-21 10:00:00 UTC");
  EXPECT_EQ(from_postgres_timestamp(0), parse_rfc3339("2000-01-01T00:00:00Z").value());
  constexpr std::int64_t infinity = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(from_postgres_timestamp(infinity), Timestamp{infinity});
  for (const auto* bad : {"", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-21T10:00:00",
                          "2026-11-21T25:00:00Z", "2026-11-21T10:00:00.Z", "2026-11-21T10:00:00Zx"}) {
    EXPECT_FALSE(parse_rfc3339(bad).has_value()) << bad;
  }
}

TEST(Cancellation, WakesAWaiter) {
  Cancellation cancellation;
  EXPECT_FALSE(cancellation.wait_for(std::chrono::milliseconds(1)));
  std::thread requester([&] { cancellation.request(); });
  EXPECT_TRUE(cancellation.wait_for(std::chrono::seconds(60)));
  requester.join();
  EXPECT_EQ(cancellation.check().error().code(), ErrorCode::cancelled);
}

TEST(BoundedQueue, DrainsAfterCloseAndDropsWhenAbandoned) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.push(1));
  EXPECT_TRUE(queue.push(2));
  std::thread blocked([&] { EXPECT_FALSE(queue.push(3)); });
  queue.close();
  blocked.join();
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);

  BoundedQueue<int> dropped(2);
  EXPECT_TRUE(dropped.push(1));
  dropped.abandon();
  EXPECT_EQ(dropped.pop(), std::nullopt);
}

}  // namespace
}  // namespace pgstrata
