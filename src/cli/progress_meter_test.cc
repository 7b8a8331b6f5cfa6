#include "cli/progress_meter.h"

#include <sstream>

#include <gtest/gtest.h>

#include "repo/test_store.h"

namespace pgstrata {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t mib = 1U << 20;

class ProgressMeterTest : public ::testing::Test {
 protected:
  // What has been shown since the last call, without what erases it.
  std::string shown() {
    std::string text = err_.str();
    err_.str("");
    for (const std::string erase = "\r\x1b[K"; text.starts_with(erase);) text.erase(0, erase.size());
    return text;
  }

  std::ostringstream out_;
  std::ostringstream err_;
  Console console_{out_, err_, true};
  HeldClock clock_;
  ProgressMeter meter_{console_, clock_};
};

TEST_F(ProgressMeterTest, RateAndTimeLeftComeWithTheFirstSecond) {
  meter_.begin("receiving");
  EXPECT_EQ(shown(), "receiving ...");
  meter_.update(0, 10 * mib);
  EXPECT_EQ(shown(), "receiving  0 B of 10 MiB  0%");
  clock_.pass(999ms);
  meter_.update(mib, 10 * mib);
  EXPECT_EQ(shown(), "receiving  1.0 MiB of 10 MiB  10%");
  clock_.pass(1ms);
  meter_.update(2 * mib, 10 * mib);
  EXPECT_EQ(shown(), "receiving  2.0 MiB of 10 MiB  20%  2.0 MiB/s  5.0 s left");
}

TEST_F(ProgressMeterTest, TheRateFollowsTheLastSeconds) {
  meter_.begin("receiving");
  meter_.update(0, 100 * mib);
  clock_.pass(2s);
  meter_.update(20 * mib, 100 * mib);
  EXPECT_EQ(shown().substr(0, 13), "receiving ...");
  // Ten MiB/s before, now nothing for a second: six tenths of it are left, then six tenths of that.
  clock_.pass(1s);
  meter_.update(20 * mib, 100 * mib);
  EXPECT_EQ(shown(), "receiving  20 MiB of 100 MiB  20%  6.0 MiB/s  14 s left");
  clock_.pass(1s);
  meter_.update(20 * mib, 100 * mib);
  EXPECT_EQ(shown(), "receiving  20 MiB of 100 MiB  20%  3.6 MiB/s  23 s left");
  // Within a window it stands still.
  clock_.pass(500ms);
  meter_.update(90 * mib, 100 * mib);
  EXPECT_EQ(shown(), "receiving  90 MiB of 100 MiB  90%  3.6 MiB/s  3.0 s left");
}

TEST_F(ProgressMeterTest, AnotherStepBeginsAnotherMeasurement) {
  meter_.begin("restoring");
  meter_.update(0, 2 * mib);
  clock_.pass(1s);
  meter_.update(2 * mib, 2 * mib);
  EXPECT_TRUE(shown().ends_with("restoring  2.0 MiB of 2.0 MiB  100%  2.0 MiB/s"));
  clock_.pass(5s);
  meter_.begin("recovering");
  EXPECT_EQ(shown(), "recovering ...");
  meter_.update(mib, 4 * mib);
  EXPECT_EQ(shown(), "recovering  1.0 MiB of 4.0 MiB  25%");
}

TEST_F(ProgressMeterTest, CountsObjectsWithARateInBytes) {
  meter_.begin("verifying");
  meter_.update_counted(0, 8, 0);
  clock_.pass(1s);
  static_cast<void>(shown());
  meter_.update_counted(3, 8, 3 * mib);
  EXPECT_EQ(shown(), "verifying  3 of 8  3.0 MiB  3.0 MiB/s");
}

TEST(ProgressMeterWithoutTerminal, ShowsNothing) {
  std::ostringstream out;
  std::ostringstream err;
  const HeldClock clock;
  Console console(out, err, false);
  {
    ProgressMeter meter(console, clock);
    meter.begin("receiving");
    meter.update(mib, 2 * mib);
  }
  EXPECT_EQ(err.str(), "");
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace pgstrata
