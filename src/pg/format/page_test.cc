#include "pg/format/page.h"

#include <gtest/gtest.h>

#include "pg/format/sample_for_test.h"

namespace pgstrata {
namespace {

PageView page_of(const Bytes& bytes, std::size_t index) {
  return ByteView(bytes).subspan(index * page_size).first<page_size>();
}

TEST(Page, ChecksumIsTheServers) {
  for (const int major : sample_majors) {
    SCOPED_TRACE(major);
    const Bytes pages = read_sample("pages_" + std::to_string(major) + ".zst");
    ASSERT_EQ(pages.size(), 3U * page_size);
    for (std::uint32_t block = 0; block < 3; ++block) {
      const auto page = page_of(pages, block);
      const auto header = read_page_header(page);
      EXPECT_NE(header.checksum, 0);
      EXPECT_EQ(compute_page_checksum(page, {block}), header.checksum);
      EXPECT_TRUE(verify_page_checksum(page, {block}));
      EXPECT_FALSE(verify_page_checksum(page, {block + 1}));
      EXPECT_EQ(header.size_and_version, page_size | 4U);
      EXPECT_GE(header.lower, 24);
      EXPECT_LE(header.lower, header.upper);
      EXPECT_LE(header.upper, header.special);
      EXPECT_GT(header.lsn, Lsn{0x1000});
      EXPECT_LT(header.lsn, Lsn{0x10000000});
    }
  }
}

TEST(Page, ChecksumSeesEachByteButItsOwn) {
  const Bytes good = read_sample("pages_15.zst");
  const auto expected = compute_page_checksum(page_of(good, 0), {0});
  for (std::size_t i = 0; i < page_size; ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{0x04};
    const bool own = i == 8 || i == 9;
    EXPECT_EQ(compute_page_checksum(page_of(bad, 0), {0}) == expected, own) << i;
  }
}

TEST(Page, NewPagePassesAndTornOneDoesNot) {
  const Bytes zeros(page_size);
  EXPECT_TRUE(read_page_header(page_of(zeros, 0)).is_new());
  EXPECT_TRUE(verify_page_checksum(page_of(zeros, 0), {7}));
  Bytes torn = read_sample("pages_15.zst");
  std::fill_n(torn.begin() + 4096, 4096, std::byte{0});
  EXPECT_FALSE(verify_page_checksum(page_of(torn, 0), {0}));
}

TEST(Page, AllZeroLooksAtEveryByte) {
  EXPECT_TRUE(is_all_zero({}));
  for (const std::size_t size : {1U, 2U, 7U, 64U, 8192U}) {
    Bytes bytes(size);
    EXPECT_TRUE(is_all_zero(bytes));
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] = std::byte{1};
      EXPECT_FALSE(is_all_zero(bytes)) << i;
      bytes[i] = std::byte{0};
    }
  }
}

}  // namespace
}  // namespace pgstrata
