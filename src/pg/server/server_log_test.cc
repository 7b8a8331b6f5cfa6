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

TEST(ServerLog, FallsBackToTheLastLines) {
  EXPECT_EQ(last_words("a\n\nb\n"), "a; b");
  EXPECT_EQ(last_words("1\n2\n3\n4\n5\n6\n7\n"), "2; 3; 4; 5; 6; 7");
  EXPECT_EQ(last_words(""), "");
  EXPECT_EQ(last_words_of_file("/nonexistent", 0), "");
}

}  // namespace
}  // namespace pgstrata
