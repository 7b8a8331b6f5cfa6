// A recovery kit as version 1 wrote it must read for ever: a restored directory may wait long for its
// recovery.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/digest.h"
#include "repo/test_store.h"
#include "restore/recovery_kit.h"

namespace pgstrata {
namespace {

// Never change it.
constexpr std::string_view kit_hex =
    "5047534b0100000034407a730000000100010003000000000b2f7372762f6261636b7570036170700200000001000000"
    "010000000000000200000000070707070707070707070707070707070707070707070707070707070707070702000000"
    "0000000000000003000000000000000000000000000000000000000000000000000000000000000000000000";

TEST(RecoveryKitGolden, Reads) {
  RecoveryKit written{"/srv/backup", "app", 1U << 24, Lsn{0x3000100}, {}};
  written.segments.push_back({TimelineId{1}, Lsn{0x2000000}, fixed_key(7)});
  written.segments.push_back({TimelineId{2}, Lsn{0x3000000}, {}});
  EXPECT_EQ(to_hex(encode_recovery_kit(written)), kit_hex);

  const auto kit = decode_recovery_kit(*from_hex(kit_hex));
  ASSERT_EQ(message_of(kit), "ok");
  EXPECT_EQ(kit->repository, "/srv/backup");
  EXPECT_EQ(kit->cluster, "app");
  EXPECT_EQ(kit->wal_segment_bytes, 1U << 24);
  EXPECT_EQ(kit->end_lsn, Lsn{0x3000100});
  ASSERT_EQ(kit->segments.size(), 2U);
  EXPECT_EQ(kit->segments[0].timeline, TimelineId{1});
  EXPECT_EQ(kit->segments[0].start, Lsn{0x2000000});
  ASSERT_TRUE(kit->segments[0].pack_key.has_value());
  EXPECT_EQ(to_hex(kit->segments[0].pack_key->view()), to_hex(fixed_key(7).view()));
  EXPECT_EQ(kit->segments[1].timeline, TimelineId{2});
  EXPECT_EQ(kit->segments[1].start, Lsn{0x3000000});
  EXPECT_FALSE(kit->segments[1].pack_key.has_value());
}

}  // namespace
}  // namespace pgstrata
