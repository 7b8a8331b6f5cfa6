#include "catalog/timelines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/test_store.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TimelinesTest : public ::testing::Test {
 protected:
  static constexpr TimelineId one{1};
  static constexpr TimelineId two{2};
  static constexpr TimelineId three{3};
  static constexpr TimelineId four{4};

  TimelinesTest() {
    history(two, "1\t0/480000\tx\n");
    history(three, "1\t0/580000\tx\n");
    history(four, "1\t0/480000\tx\n2\t0/600000\tx\n");
  }
  void history(TimelineId timeline, std::string_view content) {
    EXPECT_TRUE(put_timeline_history(space_, timeline, as_byte_view(content)));
  }
  std::optional<TimelineId> current() { return current_timeline(space_, {one, two, three, four}).value(); }

  MemoryStore store_;
  ClusterSpace space_{store_, "app", fixed_key(7)};
};

TEST_F(TimelinesTest, TheNewestIsTheClustersAsLongAsNobodySaysOtherwise) {
  EXPECT_EQ(current(), four);
  EXPECT_EQ(current_timeline(space_, {}).value(), std::nullopt);
}

TEST_F(TimelinesTest, WhatIsYoungerThanTheCurrentOneIsSetAside) {
  ASSERT_TRUE(make_timeline_current(space_, two, {one, two, three, four}));
  EXPECT_THAT(timelines_set_aside(space_).value(), ElementsAre(three, four));
  EXPECT_EQ(current(), two);
  ASSERT_TRUE(make_timeline_current(space_, two, {one, two, three, four})) << "again";
  EXPECT_EQ(current_timeline(space_, {one, two, TimelineId{5}}).value(), TimelineId{5}) << "one made since";
  EXPECT_THAT(list_timeline_histories(space_).value(), ElementsAre(two, three, four)) << "marks are none";
}

TEST_F(TimelinesTest, ATimelineIsTakenUpAgainWithThoseOnItsWay) {
  ASSERT_TRUE(make_timeline_current(space_, one, {one, two, three, four}));
  EXPECT_EQ(current(), one);
  ASSERT_TRUE(make_timeline_current(space_, four, {one, two, three, four}));
  EXPECT_EQ(current(), four);
  EXPECT_THAT(timelines_set_aside(space_).value(), ElementsAre(three));
}

TEST_F(TimelinesTest, WhenAllAreSetAsideTheNewestIsTaken) {
  ASSERT_TRUE(make_timeline_current(space_, one, {two, three}));
  EXPECT_EQ(current_timeline(space_, {two, three}).value(), three);
}

// Whoever can write to the repository, but has no key, sets nothing aside.
TEST_F(TimelinesTest, AMarkThatDoesNotAuthenticateCountsAsNone) {
  ASSERT_TRUE(store_.put(space_.object_name("timelines/00000004.aside"), as_byte_view("junk")));
  EXPECT_THAT(timelines_set_aside(space_).value(), IsEmpty());
  EXPECT_EQ(current(), four);
  ASSERT_TRUE(make_timeline_current(space_, three, {four}));
  EXPECT_EQ(current(), three);
}

}  // namespace
}  // namespace pgstrata
