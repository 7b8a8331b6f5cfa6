#include "pg/format/backup_label.h"

#include <gtest/gtest.h>

#include "pg/format/sample_for_test.h"

namespace pgstrata {
namespace {

TEST(BackupLabel, ReadsARealOne) {
  const auto label = parse_backup_label(read_sample_text("backup_label_15.txt"));
  ASSERT_TRUE(label) << label.error().describe();
  EXPECT_EQ(label->start, *parse_lsn("0/E00028"));
  EXPECT_EQ(label->start_file, "00000001000000000000000E");
  EXPECT_EQ(label->checkpoint, *parse_lsn("0/E00060"));
  EXPECT_EQ(label->method, "streamed");
  EXPECT_FALSE(label->from_standby);
  EXPECT_EQ(label->start_time, "2026-11-21 10:34:55 UTC");
  EXPECT_EQ(label->label, "a label");
  EXPECT_EQ(label->timeline, TimelineId{1});
}

TEST(BackupLabel, RefusesWhatRecoveryCouldNotUse) {
  EXPECT_FALSE(parse_backup_label(""));
  EXPECT_FALSE(parse_backup_label("START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"));
  EXPECT_FALSE(parse_backup_label("START WAL LOCATION: 0/2000028\nCHECKPOINT LOCATION: 0/2000060\n"));
  EXPECT_FALSE(parse_backup_label("START WAL LOCATION: x (file y)\nCHECKPOINT LOCATION: 0/2000060\n"));
  EXPECT_FALSE(parse_backup_label(std::string(backup_label_limit_bytes + 1, '\n')));
  const std::string needed =
      "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n";
  EXPECT_TRUE(parse_backup_label(needed));
  EXPECT_FALSE(parse_backup_label(needed + "START TIMELINE: -1\n"));
  EXPECT_TRUE(parse_backup_label(needed + "BACKUP FROM: standby")->from_standby);
  EXPECT_EQ(parse_backup_label(needed + "INCREMENTAL FROM LSN: 0/1\n").error().code(),
            ErrorCode::unsupported);
}

}  // namespace
}  // namespace pgstrata
