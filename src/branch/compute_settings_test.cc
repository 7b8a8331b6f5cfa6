#include "branch/compute_settings.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(WithoutReachingLibraries, LeavesOutThoseThatGoToOtherServers) {
  EXPECT_EQ(without_reaching_libraries("pg_stat_statements, pg_cron,auto_explain"),
            "pg_stat_statements,auto_explain");
  EXPECT_EQ(without_reaching_libraries("pg_cron"), "");
  EXPECT_EQ(without_reaching_libraries("a,$libdir/pg_cron.so"), "a");
  EXPECT_EQ(without_reaching_libraries(" \"pg_cron\" , $libdir/pglogical, pg_cron_tools"), " pg_cron_tools");
}

TEST(WithoutReachingLibraries, LeavesOthersAsTheyAre) {
  for (const std::string same : {"", "pg_stat_statements", "a, \"b\",  c"})
    EXPECT_EQ(without_reaching_libraries(same), same) << same;
}

}  // namespace
}  // namespace pgstrata
