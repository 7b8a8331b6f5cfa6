#include "pg/format/timeline_history.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(TimelineHistory, ReadsAncestorsInOrder) {
  const auto history = parse_timeline_history(
      TimelineId{4},
      "1\t0/3000148\tno recovery target specified\n\n# a remark\n3\t1/A0\tbefore 2026-11-21 10:00:00+00\n");
  ASSERT_TRUE(history) << history.error().describe();
  EXPECT_EQ(history->timeline, TimelineId{4});
  EXPECT_EQ(history->ancestors, (std::vector<TimelineAncestor>{
                                    {TimelineId{1}, *parse_lsn("0/3000148"), "no recovery target specified"},
                                    {TimelineId{3}, *parse_lsn("1/A0"), "before 2026-11-21 10:00:00+00"}}));
  EXPECT_EQ(history->timeline_at(*parse_lsn("0/3000147")), TimelineId{1});
  EXPECT_EQ(history->timeline_at(*parse_lsn("0/3000148")), TimelineId{3});
  EXPECT_EQ(history->timeline_at(*parse_lsn("1/A0")), TimelineId{4});
}

TEST(TimelineHistory, AcceptsEmptyAndUnfinishedLines) {
  EXPECT_TRUE(parse_timeline_history(TimelineId{1}, "")->ancestors.empty());
  EXPECT_EQ(parse_timeline_history(TimelineId{2}, "1\t0/1")->ancestors.front().reason, "");
}

TEST(TimelineHistory, RefusesWhatDoesNotRise) {
  EXPECT_FALSE(parse_timeline_history(TimelineId{4}, "2\t0/10\tx\n1\t0/20\ty\n"));
  EXPECT_FALSE(parse_timeline_history(TimelineId{2}, "2\t0/10\tx\n"));
  EXPECT_FALSE(parse_timeline_history(TimelineId{2}, "1 x y\n"));
  EXPECT_FALSE(parse_timeline_history(TimelineId{2}, "one\t0/10\n"));
  EXPECT_FALSE(parse_timeline_history(TimelineId{2}, "0\t0/10\n"));
  EXPECT_FALSE(parse_timeline_history(TimelineId{2}, std::string(timeline_history_limit_bytes + 1, ' ')));
}

// PostgreSQL writes this after recovery along timeline 2 to a moment before timeline 2 began.
TEST(TimelineHistory, AnAncestorThatWasNotReachedCountsForNothing) {
  const auto history = parse_timeline_history(TimelineId{3}, "1\t0/500\tx\n2\t0/300\ty\n");
  ASSERT_TRUE(history) << history.error().describe();
  EXPECT_EQ(history->timeline_at(Lsn{0x2FF}), TimelineId{1});
  EXPECT_EQ(history->timeline_at(Lsn{0x300}), TimelineId{3});
  EXPECT_EQ(history->timeline_at(Lsn{0x400}), TimelineId{3});
}

}  // namespace
}  // namespace pgstrata
