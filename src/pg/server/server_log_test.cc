#include "pg/server/server_log.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(ServerLog, PicksTheFailureWithItsDetails) {
  EXPECT_EQ(last_words("LOG:  starting\n"
                       "2026 FATAL:  recovery ended before configured recovery target was reached\n"
                       "2026 HINT:  more WAL\n"
                       "\tof it\n"
                       "LOG:  shutting down\n"),
            "2026 FATAL:  recovery ended before configured recovery target was reached; 2026 HINT:  more "
            "WAL; of it");
}

TEST(ServerLog, PicksWhatIsWrongWithTheConfiguration) {
  EXPECT_EQ(
      last_words("LOG:  unrecognized configuration parameter \"prot\" in file \"a\" line 3\n"
                 "LOG:  invalid value for parameter \"work_mem\": \"5XB\"\n"
                 "HINT:  Valid units\n"
                 "FATAL:  configuration file \"a\" contains errors\n"),
      "LOG:  unrecognized configuration parameter \"prot\" in file \"a\" line 3; LOG:  invalid value for "
      "parameter \"work_mem\": \"5XB\"; HINT:  Valid units; FATAL:  configuration file \"a\" contains "
      "errors");
  EXPECT_EQ(last_words("LOG:  invalid value for parameter \"port\": \"abc\"\n"
                       "LOG:  starting\n"
                       "FATAL:  no memory\n"),
            "FATAL:  no memory");
}

TEST(ServerLog, FallsBackToTheLastLines) {
  EXPECT_EQ(last_words("a\n\nb\n"), "a; b");
  EXPECT_EQ(last_words("1\n2\n3\n4\n5\n6\n7\n"), "2; 3; 4; 5; 6; 7");
  EXPECT_EQ(last_words(""), "");
  EXPECT_EQ(last_words_of_file("/nonexistent", 0), "");
}

}  // namespace
}  // namespace pgstrata
