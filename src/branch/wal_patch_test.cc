#include "branch/wal_patch.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

constexpr std::uint32_t segment_bytes = 1U << 20;

TEST(WalPatchTest, FindsABytesPlaceBehindPageHeaders) {
  const Lsn in_page{segment_bytes + 4096};
  EXPECT_EQ(wal_position_within(in_page, 20, segment_bytes), in_page + 20);
  const Lsn near_end{segment_bytes + 8192 - 8};
  EXPECT_EQ(wal_position_within(near_end, 7, segment_bytes), near_end + 7);
  EXPECT_EQ(wal_position_within(near_end, 8, segment_bytes), Lsn{segment_bytes + 8192 + 24});
  EXPECT_EQ(wal_position_within(near_end, 20, segment_bytes), Lsn{segment_bytes + 8192 + 24 + 12});
  // Over two pages: the second holds what is left behind its header.
  EXPECT_EQ(wal_position_within(near_end, 8 + 8192 - 24, segment_bytes), Lsn{segment_bytes + 2 * 8192 + 24});
  // A segment's first page has the long header.
  const Lsn last{2 * std::uint64_t{segment_bytes} - 8};
  EXPECT_EQ(wal_position_within(last, 8, segment_bytes), Lsn{2 * std::uint64_t{segment_bytes} + 40});
}

TEST(WalPatchTest, ChangesWhatIsWithinAndNothingElse) {
  const auto patched = [](std::uint64_t at) {
    Bytes bytes(4, std::byte{'.'});
    const std::vector<WalPatch> patches{{Lsn{100}, to_bytes("ab")}, {Lsn{103}, to_bytes("c")}};
    apply_wal_patches(patches, Lsn{at}, bytes);
    return std::string(as_text(bytes));
  };
  EXPECT_EQ(patched(100), "ab.c");
  EXPECT_EQ(patched(101), "b.c.") << "a patch that began before";
  EXPECT_EQ(patched(97), "...a") << "and one that goes on behind";
  EXPECT_EQ(patched(96), "....");
  EXPECT_EQ(patched(104), "....");
}

}  // namespace
}  // namespace pgstrata
