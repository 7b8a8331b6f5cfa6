#include "snapshot/tablespace_rules.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(TablespaceRules, ALocationIsAbsoluteSimpleAndPrintable) {
  for (const auto* location : {"/srv/fast", "/srv/fast/", "/srv/ü 1", "/"})
    EXPECT_FALSE(fault_of_location(location)) << location;
  for (const auto* location : {"", "pg_tblspc/16400", "relative/../../x", "../x", "/srv/../root", "/srv//x",
                               "/srv/./x", "/srv/x\n", "/srv/\x1b[31m", "/srv/\x7f"})
    EXPECT_TRUE(fault_of_location(location)) << location;
}

TEST(TablespaceRules, OnlyTheVersionsOwnFolderIsPostgreSqls) {
  const auto allowed = [](std::string_view path) {
    const auto parsed = parse_tablespace_path(path);
    return parsed && in_version_folder(*parsed, 150018);
  };
  EXPECT_TRUE(allowed("pg_tblspc/16400/PG_15_202209061"));
  EXPECT_TRUE(allowed("pg_tblspc/16400/PG_15_202209061/5/1"));
  EXPECT_TRUE(allowed("pg_tblspc/016400/PG_15_202209061/5/1")) << "by whatever spelling of its number";
  for (const auto* path :
       {"pg_tblspc/16400", "pg_tblspc/16400/authorized_keys", "pg_tblspc/16400/PG_14_202107181/5",
        "pg_tblspc/16400/PG_15_", "pg_tblspc/16400/PG_15_x/5", "pg_tblspc/16400/PG_15_1x/5"})
    EXPECT_FALSE(allowed(path)) << path;
  for (const auto* path : {"base/5/1", "pg_tblspc", "pg_tblspc/stray/x"})
    EXPECT_FALSE(parse_tablespace_path(path)) << path;
}

}  // namespace
}  // namespace pgstrata
