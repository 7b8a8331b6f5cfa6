// Of catalogs as real servers left them (pg/format/testdata), in a small snapshot.
#include "roll/snapshot_tables.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pg/format/catalog_rows.h"
#include "pg/format/sample_for_test.h"
#include "snapshot/file_tree_writer.h"
#include "snapshot/snapshot_test_support.h"

namespace pgstrata {
namespace {

using ::testing::IsEmpty;
using testing::MemorySpace;

class SnapshotTablesOnMajors : public ::testing::TestWithParam<int> {
 protected:
  SnapshotTablesOnMajors() {
    files_["global/pg_filenode.map"] = sample("filenode_map");
    files_["global/1262"] = sample("pg_database");
    const auto folder = fmt::format("base/{}", database("shop"));
    files_[folder + "/pg_filenode.map"] = sample("database_filenode_map");
    files_[folder + "/1259"] = sample("pg_class");
    files_[folder + "/2615"] = sample("pg_namespace");
    files_[folder + "/2610"] = sample("pg_index");
    shop_ = folder;
  }

  [[nodiscard]] static Bytes sample(std::string_view what) {
    return read_sample(fmt::format("{}_{}.zst", what, GetParam()));
  }
  [[nodiscard]] static Oid database(std::string_view name) {
    Oid found;
    const Bytes file = sample("pg_database");
    for_each_database(ByteView(file).first<page_size>(), GetParam(), [&](const DatabaseRow& row) {
      if (row.name == name && !row.maybe_deleted) found = row.oid;
    });
    return found;
  }
  // Of a table, by what the server said of it: schema, table, kind, rows, file number, OID of what is out of line.
  [[nodiscard]] static std::string file_number(const std::string& table) {
    std::istringstream lines(read_sample_text(fmt::format("catalog_tables_{}.txt", GetParam())));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      std::vector<std::string> parts;
      for (std::string part; std::getline(fields, part, '\t');) parts.push_back(part);
      if (parts.at(1) == table) return parts.at(4);
    }
    return "";
  }

  SnapshotRecord snapshot() {
    const auto store = ChunkStore::open(memory_.space, system_clock()).value();
    ChunkWriter chunks(*store, PackKind::data);
    FileTreeWriter tree(*store);
    for (const auto* folder : {"global", "base"}) add_folder(tree, folder);
    add_folder(tree, shop_);
    for (const auto& [path, content] : files_) {
      FileEntry entry{path, EntryKind::regular, 0600, content.size(), {}};
      for (std::uint64_t number = 0; number < extent_count(content.size()); ++number) {
        const auto part =
            ByteView(content).subspan(number * extent_bytes, extent_size(content.size(), number));
        entry.map.extents.push_back(chunks.put_extent(part, nullptr).value());
      }
      tree.add(std::move(entry));
    }
    EXPECT_TRUE(chunks.finish());
    SnapshotRecord record;
    record.server_version = static_cast<std::uint32_t>(GetParam()) * 10000;
    record.tree = tree.finish().value();
    return record;
  }
  static void add_folder(FileTreeWriter& tree, const std::string& path) {
    tree.add({.path = path, .kind = EntryKind::directory, .mode = 0700, .size_bytes = 0, .map = {}});
  }
  Result<std::vector<SnapshotTable>> tables() {
    const Cancellation never;
    return find_tables(memory_.space, snapshot(), never);
  }

  MemorySpace memory_;
  std::map<std::string, Bytes> files_;
  std::string shop_;
};

TEST_P(SnapshotTablesOnMajors, ThoseThatHaveAFile) {
  files_[fmt::format("{}/{}", shop_, file_number("orders"))] = Bytes(5 * page_size);
  files_[fmt::format("{}/{}.1", shop_, file_number("orders"))] = Bytes(page_size);
  files_[fmt::format("{}/{}_vm", shop_, file_number("orders"))] = Bytes(page_size);
  files_[fmt::format("{}/{}", shop_, file_number("never_analyzed"))] = {};
  auto found = tables();
  ASSERT_TRUE(found) << found.error().describe();
  std::ranges::sort(*found, {}, &SnapshotTable::table);
  EXPECT_EQ(*found, (std::vector<SnapshotTable>{{"shop", "public", "never_analyzed", std::nullopt, 0},
                                                {"shop", "sales", "orders", 5000, 7 * page_size}}));
}

TEST_P(SnapshotTablesOnMajors, WhatIsNotThereIsDamage) {
  for (const auto& missing : {std::string("global/pg_filenode.map"), std::string("global/1262"),
                              shop_ + "/pg_filenode.map", shop_ + "/1259", shop_ + "/2615"}) {
    auto kept = files_.extract(missing);
    const auto found = tables();
    ASSERT_FALSE(found) << missing;
    EXPECT_EQ(found.error().code(), ErrorCode::damaged) << found.error().describe();
    files_.insert(std::move(kept));
  }
}

TEST_P(SnapshotTablesOnMajors, NonsenseInACatalogIsPassedOver) {
  files_[shop_ + "/2610"] = Bytes(3 * page_size, std::byte{0xFF});
  const auto found = tables();
  ASSERT_TRUE(found) << found.error().describe();
  EXPECT_THAT(*found, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Majors, SnapshotTablesOnMajors, ::testing::ValuesIn(sample_majors),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

}  // namespace
}  // namespace pgstrata
