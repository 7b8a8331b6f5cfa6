#include "storage/s3/bandwidth_limit.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using std::chrono::milliseconds;

class StandingClock : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return {1}; }
  [[nodiscard]] SteadyTime steady() const override { return time; }
  SteadyTime time = SteadyTime() + std::chrono::hours(1);
};

TEST(BandwidthLimitTest, KeepsToItsRateWhateverThePieces) {
  StandingClock clock;
  BandwidthLimit limit(1000, clock);
  // A second's worth goes at once, then each piece when those before have had their time.
  EXPECT_EQ(limit.reserve(1000), clock.time);
  EXPECT_EQ(limit.reserve(500), clock.time);
  EXPECT_EQ(limit.reserve(250), clock.time + milliseconds(500));
  EXPECT_EQ(limit.reserve(4000), clock.time + milliseconds(750));
  EXPECT_EQ(limit.reserve(1), clock.time + milliseconds(4750));
}

TEST(BandwidthLimitTest, ASilenceSavesUpNoMoreThanASecond) {
  StandingClock clock;
  BandwidthLimit limit(1000, clock);
  clock.time += std::chrono::hours(2);
  EXPECT_EQ(limit.reserve(1000), clock.time);
  EXPECT_EQ(limit.reserve(1000), clock.time);
  EXPECT_EQ(limit.reserve(1), clock.time + milliseconds(1000));
}

TEST(BandwidthLimitTest, NoneWaitsForNothing) {
  StandingClock clock;
  BandwidthLimit limit(0, clock);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.reserve(1ULL << 40), clock.time);
}

}  // namespace
}  // namespace pgstrata
