#include "pg/format/role_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/endian.h"
#include "pg/format/page.h"
#include "pg/format/sample_for_test.h"

namespace pgstrata {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Bytes sample(std::string_view kind, int major) {
  return read_sample(fmt::format("{}_{}.zst", kind, major));
}

class RoleNamesOnMajors : public ::testing::TestWithParam<int> {};

TEST_P(RoleNamesOnMajors, TheBootstrapSuperuserIsFound) {
  const Bytes map = sample("filenode_map", GetParam());
  EXPECT_TRUE(mapped_file_number(map, pg_authid_oid).has_value());
  EXPECT_EQ(mapped_file_number(map, Oid{16384}).error().code(), ErrorCode::not_found);
  const Bytes roles = sample("pg_authid", GetParam());
  EXPECT_THAT(names_of_role(roles, bootstrap_superuser_oid), ElementsAre("postgres"));
  EXPECT_THAT(names_of_role(roles, Oid{3373}), ElementsAre("pg_monitor"));
  EXPECT_THAT(names_of_role(roles, Oid{16384}), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Majors, RoleNamesOnMajors, ::testing::ValuesIn(sample_majors),
                         [](const auto& major) { return fmt::format("PostgreSQL{}", major.param); });

struct Tuple {
  std::string name;
  std::uint32_t xmax = 0;
  std::uint16_t infomask = 0;
};

// A page with these versions of role 10.
Bytes page_of(const std::vector<Tuple>& tuples) {
  Bytes page(page_size);
  const auto put = [&](std::size_t at, auto value) { std::memcpy(page.data() + at, &value, sizeof value); };
  constexpr std::uint32_t size = 24 + 68;
  std::uint32_t end = page_size;
  std::uint16_t lower = 24;
  for (const auto& tuple : tuples) {
    end -= size;
    put(end + 4, tuple.xmax);
    put(end + 20, tuple.infomask);
    put(end + 22, std::uint8_t{24});
    put(end + 24, std::uint32_t{10});
    std::memcpy(page.data() + end + 28, tuple.name.data(), tuple.name.size());
    put(lower, end | 1U << 15U | size << 17U);
    lower = static_cast<std::uint16_t>(lower + 4);
  }
  put(12, lower);
  put(14, static_cast<std::uint16_t>(end));
  return page;
}

TEST(RoleNames, AVersionThatNothingDeletedIsTheLikeliest) {
  EXPECT_THAT(names_of_role(page_of({{"old", 700, 0}, {"new", 0, 0}}), bootstrap_superuser_oid),
              ElementsAre("new", "old"));
  // A rename that was rolled back, as its hint bit says; and a version that is merely locked.
  EXPECT_THAT(names_of_role(page_of({{"kept", 700, 0x0800}, {"tried", 701, 0}}), bootstrap_superuser_oid),
              ElementsAre("kept", "tried"));
  EXPECT_THAT(names_of_role(page_of({{"locked", 700, 0x0080}, {"gone", 701, 0}}), bootstrap_superuser_oid),
              ElementsAre("locked", "gone"));
}

TEST(RoleNames, WhatMakesNoSenseIsPassedOver) {
  EXPECT_THAT(names_of_role(Bytes(100), bootstrap_superuser_oid), IsEmpty());
  EXPECT_THAT(names_of_role(Bytes(page_size, std::byte{0xFF}), bootstrap_superuser_oid), IsEmpty());
  EXPECT_EQ(mapped_file_number(Bytes(512), pg_authid_oid).error().code(), ErrorCode::damaged);
  ByteWriter cut;
  cut.u32(0x592717);
  cut.u32(2);
  cut.u32(1);
  EXPECT_EQ(mapped_file_number(cut.view(), pg_authid_oid).error().code(), ErrorCode::damaged);
}

}  // namespace
}  // namespace pgstrata
