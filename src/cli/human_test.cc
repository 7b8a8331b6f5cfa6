#include "cli/human.h"

#include <gtest/gtest.h>

#include "cli/progress_meter.h"
#include "cli/table.h"

namespace pgstrata {
namespace {

TEST(Human, Sizes) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1024), "1.0 KiB");
  EXPECT_EQ(human_size(10189), "10 KiB");
  EXPECT_EQ(human_size(2560), "2.5 KiB");
  EXPECT_EQ(human_size((1U << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_size(std::uint64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(human_size(UINT64_MAX), "16 EiB");
}

TEST(Human, Durations) {
  using namespace std::chrono;
  EXPECT_EQ(human_duration(microseconds(-5)), "0.0 s");
  EXPECT_EQ(human_duration(milliseconds(430)), "0.4 s");
  EXPECT_EQ(human_duration(seconds(59)), "59 s");
  EXPECT_EQ(human_duration(seconds(185)), "3 min 5 s");
  EXPECT_EQ(human_duration(minutes(130)), "2 h 10 min");
  EXPECT_EQ(human_duration(hours(99)), "4 d 3 h");
}

TEST(Human, VersionsTimesAndCounts) {
  EXPECT_EQ(human_server_version(150018), "15.18");
  EXPECT_EQ(human_time({}), "-");
  EXPECT_EQ(human_time(parse_rfc3339("2026-11-21T10:00:00.5Z").value()), "2026-11-21 10:00:00.5 UTC");
  EXPECT_EQ(counted(1, "file", "files"), "1 file");
  EXPECT_EQ(counted(0, "file", "files"), "0 files");
}

TEST(Table, AlignsByCharacters) {
  Table table({{.title = "NAME"}, {.title = "SIZE", .align = Align::right}, {.title = "NOTE"}});
  table.add({"zo\xC3\xAB", "5", ""});
  table.add({"a", "12345", "x"});
  EXPECT_EQ(table.text(),
            "NAME   SIZE  NOTE\n"
            "zo\xC3\xAB       5\n"
            "a     12345  x\n");
}

TEST(ProgressLine, ShowsWhatIsKnown) {
  EXPECT_EQ(progress_line("receiving", {.done_bytes = 2048}), "receiving  2.0 KiB");
  EXPECT_EQ(progress_line("receiving", {.done_bytes = 1024, .total_bytes = 4096}),
            "receiving  1.0 KiB of 4.0 KiB  25%");
  EXPECT_EQ(
      progress_line("receiving", {.done_bytes = 1024, .total_bytes = 4096, .rate_bytes_per_second = 1024}),
      "receiving  1.0 KiB of 4.0 KiB  25%  1.0 KiB/s  4.0 s left");
  // More than the estimate.
  EXPECT_EQ(
      progress_line("receiving", {.done_bytes = 8192, .total_bytes = 4096, .rate_bytes_per_second = 1024}),
      "receiving  8.0 KiB of 4.0 KiB  100%  1.0 KiB/s");
}

}  // namespace
}  // namespace pgstrata
