#include "pg/format/wal_name.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

constexpr std::uint32_t mib = 1U << 20U;

TEST(WalName, SplitsNumbersBySegmentSize) {
  EXPECT_EQ(wal_segment_name({TimelineId{1}, 3}, 16 * mib), "000000010000000000000003");
  EXPECT_EQ(wal_segment_name({TimelineId{0xAB}, 256}, 16 * mib), "000000AB0000000100000000");
  EXPECT_EQ(wal_segment_name({TimelineId{1}, 256}, mib), "000000010000000000000100");
  EXPECT_EQ(wal_segment_name({TimelineId{1}, 5}, 1024 * mib), "000000010000000100000001");
}

TEST(WalName, ReadsBackWhatItWrites) {
  for (const std::uint32_t size : {mib, 16 * mib, 64 * mib, 1024 * mib}) {
    for (const std::uint64_t number :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095}, std::uint64_t{1} << 33U}) {
      const WalSegment segment{TimelineId{7}, number};
      EXPECT_EQ(parse_wal_segment_name(wal_segment_name(segment, size), size), segment);
    }
  }
}

TEST(WalName, RefusesOtherNames) {
  for (const auto* name :
       {"", "00000001000000000000000", "0000000100000000000000030", "00000001000000000000000g",
        "00000001000000000000000a", "000000010000000000000003.partial", "000000000000000000000003",
        "000000010000000000000100", "00000001.history", " 00000100000000000000003"}) {
    EXPECT_FALSE(parse_wal_segment_name(name, 16 * mib)) << name;
  }
}

TEST(WalName, PlacesLsns) {
  EXPECT_EQ(wal_segment_of(*parse_lsn("0/3000000"), 16 * mib), 3U);
  EXPECT_EQ(wal_segment_of(*parse_lsn("0/2FFFFFF"), 16 * mib), 2U);
  EXPECT_EQ(wal_segment_start(259, 16 * mib), *parse_lsn("1/3000000"));
}

TEST(WalName, History) {
  EXPECT_EQ(timeline_history_name(TimelineId{0x1F}), "0000001F.history");
  EXPECT_EQ(parse_timeline_history_name("0000001F.history"), TimelineId{0x1F});
  for (const auto* name :
       {"1F.history", "0000001f.history", "00000000.history", ".history", "0000001F.histor"}) {
    EXPECT_FALSE(parse_timeline_history_name(name)) << name;
  }
}

TEST(WalName, SegmentSizes) {
  EXPECT_TRUE(is_wal_segment_size(mib));
  EXPECT_TRUE(is_wal_segment_size(1024 * mib));
  EXPECT_FALSE(is_wal_segment_size(0));
  EXPECT_FALSE(is_wal_segment_size(3 * mib));
  EXPECT_FALSE(is_wal_segment_size(mib / 2));
  EXPECT_FALSE(is_wal_segment_size(std::uint64_t{2048} * mib));
}

}  // namespace
}  // namespace pgstrata
