#include "pg/format/relation_path.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(RelationPath, ReadsEachKindOfRelationFile) {
  EXPECT_EQ(parse_relation_path("base/5/16384.1"),
            (RelationPath{{Oid{1663}, Oid{5}, Oid{16384}}, Fork::main, 1}));
  EXPECT_EQ(parse_relation_path("global/1262"),
            (RelationPath{{Oid{1664}, Oid{0}, Oid{1262}}, Fork::main, 0}));
  EXPECT_EQ(parse_relation_path("pg_tblspc/16400/PG_15_202209061/5/16385_fsm"),
            (RelationPath{{Oid{16400}, Oid{5}, Oid{16385}}, Fork::free_space, 0}));
  EXPECT_EQ(parse_relation_path("base/1/2619_vm.12")->segment, 12U);
  EXPECT_EQ(parse_relation_path("base/1/4294967295_init")->fork, Fork::init);
}

TEST(RelationPath, LeavesAllElse) {
  for (const auto* path : {"",
                           "PG_VERSION",
                           "base/5/PG_VERSION",
                           "base/5/pg_filenode.map",
                           "global/pg_control",
                           "global/pg_internal.init",
                           "base/5/pg_internal.init.123",
                           "base/5/t3_16390",
                           "base/5/16384_foo",
                           "base/5/16384.",
                           "base/5/16384.0",
                           "base/5/016384",
                           "base/5/16384.01",
                           "base/5/4294967296",
                           "base/5/",
                           "base/16384",
                           "base/pgsql_tmp/pgsql_tmp1.0",
                           "pg_wal/000000010000000000000001",
                           "base/5/16384_fsm_vm",
                           "pg_tblspc/16400",
                           "pg_tblspc/16400/PG_15_202209061",
                           "pg_tblspc/x/PG_15_202209061/5/1",
                           "pg_tblspc/16400/other/5/1",
                           "pg_xact/0000",
                           "global/1262/1"}) {
    EXPECT_FALSE(parse_relation_path(path)) << path;
    EXPECT_FALSE(has_page_checksums(path)) << path;
  }
}

TEST(RelationPath, ThoseOfRelationsHavePageChecksums) {
  for (const auto* path : {"base/5/16384.1", "global/1262", "global/1262_vm", "base/1/2619_init.3",
                           "pg_tblspc/16400/PG_15_202209061/5/16385_fsm"}) {
    EXPECT_TRUE(has_page_checksums(path));
  }
}

}  // namespace
}  // namespace pgstrata
