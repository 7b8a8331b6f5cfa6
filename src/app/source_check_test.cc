#include "app/source_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

SourceReport judged(const SourceSettings& settings) {
  SourceReport report;
  judge_settings(settings, report);
  return report;
}

TEST(SourceCheck, NamesEveryProblemWithItsCure) {
  const SourceReport report =
      judged({.wal_level = "minimal", .max_wal_senders = "1", .max_replication_slots = "0"});
  ASSERT_EQ(report.problems.size(), 3U);
  EXPECT_THAT(report.problems[0].fix, HasSubstr("ALTER SYSTEM SET wal_level = 'replica'"));
  EXPECT_THAT(report.problems[1].what, HasSubstr("max_wal_senders is 1"));
  EXPECT_THAT(report.problems[2].fix, HasSubstr("max_replication_slots = 10"));
}

TEST(SourceCheck, WarnsOfWhatMayGoWrongLater) {
  const SourceReport report = judged({.wal_level = "replica",
                                      .max_wal_senders = "10",
                                      .max_replication_slots = "10",
                                      .max_slot_wal_keep_size = "-1",
                                      .data_checksums = "off"});
  EXPECT_TRUE(report.problems.empty());
  ASSERT_EQ(report.warnings.size(), 2U);
  EXPECT_THAT(report.warnings[0].what, HasSubstr("disk is full"));
  EXPECT_THAT(report.warnings[1].what, HasSubstr("checksums"));
}

TEST(SourceCheck, SaysWhatAStandbyCannotTell) {
  const SourceReport report = judged({.in_recovery = true});
  ASSERT_EQ(report.warnings.size(), 1U);
  EXPECT_THAT(report.warnings[0].what, HasSubstr("the source is a standby"));
}

TEST(SourceCheck, IsContentWithAUsualServer) {
  const SourceReport report = judged({.wal_level = "logical",
                                      .max_wal_senders = "2",
                                      .max_replication_slots = "1",
                                      .max_slot_wal_keep_size = "50GB",
                                      .data_checksums = "on"});
  EXPECT_TRUE(report.problems.empty());
  EXPECT_TRUE(report.warnings.empty());
}

TEST(SourceCheck, ReadsSegmentSizes) {
  EXPECT_EQ(parse_wal_segment_size("16MB").value(), 16U << 20);
  EXPECT_EQ(parse_wal_segment_size("1GB").value(), 1U << 30);
  for (const char* text : {"", "MB", "16", "16kB", "2GB", "0MB", "16MB ", "-1MB", "99999999999MB"}) {
    EXPECT_FALSE(parse_wal_segment_size(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace pgstrata
