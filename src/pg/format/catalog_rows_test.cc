#include "pg/format/catalog_rows.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/endian.h"
#include "pg/format/role_names.h"
#include "pg/format/sample_for_test.h"

namespace pgstrata {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class CatalogRowsOnMajors : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] static Bytes sample(std::string_view what) {
    return read_sample(fmt::format("{}_{}.zst", what, GetParam()));
  }
  template <class Use>
  static void for_each_page(std::string_view what, const Use& use) {
    const Bytes file = sample(what);
    for (std::size_t at = 0; at + page_size <= file.size(); at += page_size)
      use(PageView(ByteView(file).subspan(at).first<page_size>()));
  }
  static std::map<std::uint32_t, std::string> schemas() {
    std::map<std::uint32_t, std::string> names;
    for_each_page("pg_namespace", [&](PageView page) {
      for_each_namespace(page, [&](const NamespaceRow& row) { names[row.oid.value] = row.name; });
    });
    return names;
  }
};

TEST_P(CatalogRowsOnMajors, DatabasesThatAreThere) {
  std::vector<std::string> names;
  for_each_page("pg_database", [&](PageView page) {
    for_each_database(page, GetParam(), [&](const DatabaseRow& row) {
      if (row.maybe_deleted) return;
      names.push_back(row.name);
      EXPECT_EQ(row.tablespace, Oid{1663}) << row.name;
    });
  });
  EXPECT_THAT(names, UnorderedElementsAre("postgres", "template0", "template1", "shop"));
}

TEST_P(CatalogRowsOnMajors, Schemas) {
  std::vector<std::string> names;
  for (const auto& [oid, name] : schemas()) names.push_back(name);
  for (const auto* name : {"sales", "Old Stuff", "public", "pg_catalog", "pg_toast", "information_schema"})
    EXPECT_THAT(names, Contains(name));
}

// "schema, table, kind, rows, file, toast", as the server said them.
TEST_P(CatalogRowsOnMajors, TablesAreWhatTheServerSaidOfThem) {
  const auto names = schemas();
  std::vector<std::string> lines;
  for_each_page("pg_class", [&](PageView page) {
    for_each_class(page, GetParam(), [&](const ClassRow& row) {
      if (row.maybe_deleted || (row.kind != 'r' && row.kind != 'm')) return;
      ASSERT_TRUE(names.contains(row.schema.value)) << row.name;
      const auto& schema = names.at(row.schema.value);
      if (schema == "pg_catalog" || schema == "information_schema") return;
      EXPECT_EQ(row.tablespace, Oid{0});
      const auto rows =
          row.estimated_rows ? fmt::format("{}", *row.estimated_rows) : (GetParam() < 14 ? "0" : "-1");
      lines.push_back(fmt::format("{}\t{}\t{}\t{}\t{}\t{}", schema, row.name, row.kind, rows, row.file_number,
                                  row.toast));
    });
  });
  std::ranges::sort(lines);
  std::vector<std::string> said;
  std::istringstream text(read_sample_text(fmt::format("catalog_tables_{}.txt", GetParam())));
  for (std::string line; std::getline(text, line);) said.push_back(line);
  std::ranges::sort(said);
  EXPECT_EQ(lines, said);
}

TEST_P(CatalogRowsOnMajors, IndexesLeadToTheirTables) {
  std::map<std::string, ClassRow> classes;
  for_each_page("pg_class", [&](PageView page) {
    for_each_class(page, GetParam(), [&](const ClassRow& row) {
      if (!row.maybe_deleted) classes[row.name] = row;
    });
  });
  std::vector<std::string> found;
  for_each_page("pg_index", [&](PageView page) {
    for_each_index(page, [&](const IndexRow& row) {
      if (row.table == classes["orders"].oid && !row.maybe_deleted) {
        for (const auto& [name, other] : classes)
          if (other.oid == row.index) found.push_back(name);
      }
    });
  });
  EXPECT_THAT(found, ElementsAre("orders_pkey"));
}

TEST_P(CatalogRowsOnMajors, TheMapNamesTheFileOfPgClass) {
  const Bytes map = sample("database_filenode_map");
  EXPECT_EQ(mapped_file_number(map, pg_class_oid).value(), 1259U);
  EXPECT_FALSE(mapped_file_number(map, pg_namespace_oid).has_value());
}

INSTANTIATE_TEST_SUITE_P(Majors, CatalogRowsOnMajors, ::testing::ValuesIn(sample_majors),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

// A page with one row of pg_namespace that has this header.
Bytes page_with(std::uint32_t xmax, std::uint16_t infomask, std::uint8_t header_size = 24,
                std::uint32_t size = 24 + 68) {
  Bytes page(page_size);
  const auto put = [&](std::size_t at, auto value) { std::memcpy(page.data() + at, &value, sizeof value); };
  const std::uint32_t offset = page_size - 24 - 68;
  put(12, std::uint16_t{28});
  put(24, std::uint32_t{offset | 1U << 15U | size << 17U});
  put(offset + 4, xmax);
  put(offset + 20, infomask);
  put(offset + 22, header_size);
  put(offset + 24, std::uint32_t{4711});
  put(offset + 28, 'x');
  return page;
}

std::vector<std::string> rows_of(const Bytes& page) {
  std::vector<std::string> rows;
  for_each_namespace(ByteView(page).first<page_size>(), [&](const NamespaceRow& row) {
    rows.push_back(fmt::format("{} {}{}", row.oid, row.name, row.maybe_deleted ? " maybe" : ""));
  });
  return rows;
}

TEST(CatalogRows, WhatHintsSayOfARow) {
  EXPECT_THAT(rows_of(page_with(0, 0)), ElementsAre("4711 x"));
  EXPECT_THAT(rows_of(page_with(900, 0)), ElementsAre("4711 x maybe"));
  EXPECT_THAT(rows_of(page_with(900, 0x0400)), ElementsAre()) << "deleted";
  EXPECT_THAT(rows_of(page_with(900, 0x0800)), ElementsAre("4711 x")) << "the deletion was rolled back";
  EXPECT_THAT(rows_of(page_with(900, 0x0080)), ElementsAre("4711 x")) << "locked";
  EXPECT_THAT(rows_of(page_with(900, 0x0040)), ElementsAre("4711 x")) << "locked, as old servers say it";
  EXPECT_THAT(rows_of(page_with(0, 0x0200)), ElementsAre()) << "the insert was rolled back";
  EXPECT_THAT(rows_of(page_with(0, 0x0300)), ElementsAre("4711 x")) << "frozen";
}

TEST(CatalogRows, NonsenseIsPassedOver) {
  EXPECT_THAT(rows_of(page_with(0, 0, 3)), ElementsAre());
  EXPECT_THAT(rows_of(page_with(0, 0, 200)), ElementsAre());
  EXPECT_THAT(rows_of(page_with(0, 0, 24, 60)), ElementsAre());
  EXPECT_THAT(rows_of(page_with(0, 0, 24, 0x7FFF)), ElementsAre());
  EXPECT_THAT(rows_of(Bytes(page_size)), ElementsAre());
  EXPECT_THAT(rows_of(Bytes(page_size, std::byte{0xFF})), ElementsAre());
}

}  // namespace
}  // namespace pgstrata
