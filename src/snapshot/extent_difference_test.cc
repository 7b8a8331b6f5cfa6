#include "snapshot/extent_difference.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "codec/digest.h"
#include "repo/test_store.h"
#include "snapshot/snapshot_test_support.h"

namespace pgstrata {
namespace {

using testing::noise;

Bytes encode(ByteView whole, ByteView content) {
  Bytes into(max_extent_difference_bytes);
  const auto size = encode_extent_difference(whole, content, into);
  into.resize(size.value_or(0));
  return into;
}

Result<Bytes> apply(ByteView difference, ByteView whole, std::size_t size_bytes) {
  Bytes content(size_bytes, std::byte{0xEE});
  fit_whole_extent(whole, content);
  PGS_CHECK(apply_extent_difference(difference, content));
  return content;
}

TEST(ExtentDifference, HoldsOnlyThePagesThatChanged) {
  const auto whole = noise(extent_bytes, 1);
  auto content = whole;
  content[3 * page_size + 100] ^= std::byte{0x55};
  content[15 * page_size + 8191] ^= std::byte{0xAA};
  const auto difference = encode(whole, content);
  ASSERT_EQ(difference.size(), extent_difference_overhead_bytes + 2 * page_size);
  EXPECT_EQ(to_hex(ByteView(difference).first(3)), "010880");
  EXPECT_EQ(difference[3 + 100], std::byte{0x55});
  EXPECT_EQ(difference.back(), std::byte{0xAA});
  auto applied = whole;
  const auto pages = apply_extent_difference(difference, applied);
  ASSERT_EQ(message_of(pages), "ok");
  EXPECT_EQ(*pages, 0x8008U);
  EXPECT_EQ(applied, content);
}

TEST(ExtentDifference, IsNothingBetweenEquals) {
  const auto whole = noise(20'000, 1);
  EXPECT_TRUE(encode(whole, whole).empty());
}

// Of every pair of sizes near the ends of pages; the pages that changed are the seed's bits.
TEST(ExtentDifference, LeadsFromAnySizeToAnyOther) {
  const std::vector<std::size_t> sizes{1,    7,     100,   8191,          8192,
                                       8193, 24576, 24579, 16 * 8192 - 1, extent_bytes};
  std::uint64_t seed = 0;
  for (const auto from : sizes) {
    for (const auto to : sizes) {
      const auto whole = noise(from, ++seed);
      auto content = noise(to, 1000 + seed);
      for (std::size_t page = 0; page * page_size < std::min(from, to); ++page) {
        const auto at = page * page_size;
        const auto end = std::min({at + page_size, from, to});
        if (((seed >> page % 8) & 1U) == 0) std::copy(&whole[at], &whole[0] + end, &content[at]);
      }
      if (whole == content) continue;
      const auto applied = apply(encode(whole, content), whole, to);
      ASSERT_EQ(message_of(applied), "ok") << from << " to " << to;
      EXPECT_EQ(*applied, content) << from << " to " << to;
    }
  }
}

TEST(ExtentDifference, OfAFileThatOnlyGrewByZerosOrWasCutNamesNoPage) {
  const auto whole = noise(5000, 3);
  auto grown = whole;
  grown.resize(30'000);
  EXPECT_EQ(to_hex(encode(whole, grown)), "010000");
  EXPECT_EQ(*apply(encode(whole, grown), whole, grown.size()), grown);
  const auto cut = ByteView(whole).first(4000);
  EXPECT_EQ(to_hex(encode(whole, cut)), "010000");
  EXPECT_EQ(*apply(encode(whole, cut), whole, cut.size()), to_bytes(cut));
}

TEST(ExtentDifference, RefusesWhatDoesNotFitAndLeavesTheContentAlone) {
  const auto whole = noise(2 * page_size + 10, 1);
  auto content = whole;
  content[2 * page_size] ^= std::byte{1};
  content[0] ^= std::byte{1};
  const auto difference = encode(whole, content);
  const auto before_of_any_size = noise(extent_bytes, 5);
  const auto expect_refused = [&](ByteView broken, std::size_t size_bytes, ErrorCode code) {
    const auto before = to_bytes(ByteView(before_of_any_size).first(size_bytes));
    auto target = before;
    const auto applied = apply_extent_difference(broken, target);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().code(), code);
    EXPECT_EQ(target, before);
  };
  for (std::size_t size = 0; size < difference.size(); ++size) {
    expect_refused(ByteView(difference).first(size), whole.size(), ErrorCode::damaged);
  }
  auto longer = difference;
  longer.push_back({});
  expect_refused(longer, whole.size(), ErrorCode::damaged);
  for (const std::size_t other : {1U, 8192U, 2 * page_size, 2 * page_size + 11, extent_bytes}) {
    expect_refused(difference, other, ErrorCode::damaged);
  }
  auto other = difference;
  other[0] = std::byte{0};
  expect_refused(other, whole.size(), ErrorCode::damaged);
  other[0] = std::byte{2};
  expect_refused(other, whole.size(), ErrorCode::newer_format);
}

}  // namespace
}  // namespace pgstrata
