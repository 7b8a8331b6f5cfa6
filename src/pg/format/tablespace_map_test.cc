#include "pg/format/tablespace_map.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(TablespaceMap, ReadsWhatTheServerWrites) {
  const auto map = parse_tablespace_map("16400 /srv/fast disk\n16401 /srv/odd\\\nname\\\\\n");
  ASSERT_TRUE(map) << map.error().describe();
  EXPECT_EQ(*map, (std::vector<TablespaceLocation>{{Oid{16400}, "/srv/fast disk"},
                                                   {Oid{16401}, "/srv/odd\nname\\"}}));
}

TEST(TablespaceMap, ReadsBackWhatItWrites) {
  const std::vector<TablespaceLocation> map = {
      {Oid{1}, "/a"}, {Oid{4294967295}, "/b\r\n\\ c"}, {Oid{7}, " "}};
  EXPECT_EQ(*parse_tablespace_map(format_tablespace_map(map)), map);
  EXPECT_TRUE(parse_tablespace_map("")->empty());
}

TEST(TablespaceMap, RefusesBrokenLines) {
  for (const auto* text : {"16400\n", "16400 \n", "x /a\n", "0 /a\n", "4294967296 /a\n", "16400 /a",
                           "16400 /a\\", "16400 /a\\\n", " /a\n"}) {
    EXPECT_FALSE(parse_tablespace_map(text)) << text;
  }
}

}  // namespace
}  // namespace pgstrata
