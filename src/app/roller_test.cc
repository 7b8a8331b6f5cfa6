#include "app/roller.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Roller, BeginsBeforeTheBoundIsReached) {
  const RollPacing pacing;
  EXPECT_EQ(next_roll_step(pacing, {.debt = milliseconds(999), .has_checkpoint = true}), RollStep::wait);
  EXPECT_EQ(next_roll_step(pacing, {.debt = milliseconds(1000), .has_checkpoint = true}), RollStep::roll);
}

TEST(Roller, RollsEveryFewMinutesOnlyWhereSomethingChanged) {
  const RollPacing pacing;
  RollSituation situation{.debt = milliseconds(1), .has_checkpoint = true, .since_last = minutes(5)};
  EXPECT_EQ(next_roll_step(pacing, situation), RollStep::roll);
  situation.debt = seconds(0);
  EXPECT_EQ(next_roll_step(pacing, situation), RollStep::wait);
}

TEST(Roller, AsksForACheckpointOnlyWhereItMayAndTheDebtIsDue) {
  RollPacing pacing;
  EXPECT_EQ(next_roll_step(pacing, {.debt = seconds(9)}), RollStep::wait_for_checkpoint);
  pacing.ask_for_checkpoints = true;
  EXPECT_EQ(next_roll_step(pacing, {.debt = seconds(9)}), RollStep::ask_for_checkpoint);
  EXPECT_EQ(next_roll_step(pacing, {.debt = milliseconds(1), .since_last = minutes(9)}),
            RollStep::wait_for_checkpoint);
}

}  // namespace
}  // namespace pgstrata
