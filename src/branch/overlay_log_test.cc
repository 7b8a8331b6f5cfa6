#include "branch/overlay_log.h"

#include <ranges>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/digest.h"
#include "codec/endian.h"
#include "support/child_process.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

using testing::TemporaryDirectory;

std::vector<OverlayRecord> one_of_each() {
  return {NodeRecord{.node = 2,
                     .kind = OverlayNodeKind::regular,
                     .mode = 0600,
                     .base_path = "data/base/5/16384",
                     .base_limit_bytes = 1U << 20,
                     .link_target = ""},
          NodeRecord{.node = 300,
                     .kind = OverlayNodeKind::symbolic_link,
                     .mode = 0777,
                     .base_path = std::nullopt,
                     .base_limit_bytes = 0,
                     .link_target = "/srv/fast"},
          NameRecord{1, "new", 2},
          NameRecord{1, "hidden", 0},
          ForgottenNameRecord{1, "gone"},
          ModeRecord{2, 0640},
          LimitRecord{2, 8192},
          BlocksRecord{2, 1, 200}};
}

Bytes whole_log(const std::vector<OverlayRecord>& records, std::size_t per_frame) {
  ByteWriter log;
  log.bytes(*from_hex("5047534f02000000"));
  for (std::size_t at = 0; at < records.size(); at += per_frame)
    log.bytes(encode_overlay_frame(std::span(records).subspan(at, std::min(per_frame, records.size() - at))));
  return log.take();
}

// As version 1 writes it, for ever.
constexpr std::string_view golden_log =
    "5047534f0100000034000000042e1a3a01020180030111646174612f626173652f352f31363338348080400001ac0203"
    "ff0300092f7372762f666173740201036e65770215000000af51eac502010668696464656e00030104676f6e650402a0"
    "0309000000d87fec1905028040060201c801";

TEST(OverlayLogTest, IsAsVersion1WroteIt) {
  const auto read = read_overlay_log(*from_hex(golden_log));
  ASSERT_TRUE(read.has_value()) << read.error().describe();
  EXPECT_EQ(read->whole_bytes, golden_log.size() / 2);
  EXPECT_EQ(whole_log(read->records, 3), whole_log(one_of_each(), 3));
}

TEST(OverlayLogTest, IsAsVersion2WroteIt) {
  ByteWriter log;
  log.bytes(*from_hex("5047534f02000000"));
  log.bytes(encode_overlay_frame(std::vector<OverlayRecord>{ModeRecord{2, 0640}}, 300));
  EXPECT_EQ(to_hex(log.view()), "5047534f02000000070000007e02a33e07ac020402a003");
  EXPECT_EQ(read_overlay_log(log.view())->records.size(), 1U);
}

// A crash loses the log's end. What is gone from its middle was there once, and something else has taken it.
TEST(OverlayLogTest, IsDamagedWhereItWasDurable) {
  const auto frame_of = [](int number, std::uint64_t durable) {
    return encode_overlay_frame(std::vector<OverlayRecord>{NameRecord{1, fmt::format("name{}", number), 2}},
                                durable);
  };
  ByteWriter made;
  made.bytes(*from_hex("5047534f02000000"));
  made.bytes(frame_of(1, 0));
  const auto second = made.size();
  made.bytes(frame_of(2, 0));
  const auto third = made.size();
  made.bytes(frame_of(3, second));  // the second need not have come to the disk before it
  const auto fourth = made.size();
  made.bytes(frame_of(4, third));
  const auto log = made.take();
  for (std::size_t at = 8; at < fourth; ++at) {
    auto flipped = log;
    flipped[at] ^= std::byte{4};
    const auto whole = at < second ? 8 : at < third ? second : third;
    const auto read = read_overlay_log(flipped);
    if (at < third) {
      ASSERT_FALSE(read.has_value()) << at;
      EXPECT_THAT(read.error().describe(), ::testing::HasSubstr(fmt::format("at byte {}", whole)));
    } else {
      ASSERT_TRUE(read.has_value()) << at << ": " << read.error().describe();
      EXPECT_EQ(read->whole_bytes, whole);
    }
    const auto earlier = read_overlay_log(ByteView(flipped).first(fourth));
    EXPECT_EQ(earlier.has_value(), at >= second) << at << ": the third tells of the first alone";
  }
}

TEST(OverlayLogTest, EndsBeforeAFrameThatIsNotWhole) {
  const auto records = one_of_each();
  const auto log = whole_log(records, 1);
  std::size_t frame = 0;
  std::size_t frame_begin = 8;
  for (std::size_t size = 8; size < log.size(); ++size) {
    const auto next = frame_begin + encode_overlay_frame(std::span(records).subspan(frame, 1)).size();
    if (size == next) {
      ++frame;
      frame_begin = next;
    }
    for (const auto fill : {-1, 0, 0x55}) {  // cut off, zeros, and anything
      Bytes torn(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(size));
      if (fill >= 0) torn.resize(log.size() + 20, static_cast<std::byte>(fill));
      if (std::ranges::equal(torn | std::views::take(next), log | std::views::take(next))) continue;  // whole
      const auto read = read_overlay_log(torn);
      ASSERT_TRUE(read.has_value()) << size << ": " << read.error().describe();
      EXPECT_EQ(read->records.size(), frame) << size;
      EXPECT_EQ(read->whole_bytes, frame_begin) << size;
    }
  }
}

TEST(OverlayLogTest, RefusesWhatIsNone) {
  const auto code_of = [](std::string_view hex) { return read_overlay_log(*from_hex(hex)).error().code(); };
  EXPECT_EQ(code_of(""), ErrorCode::damaged);
  EXPECT_EQ(code_of("5047534f0100"), ErrorCode::damaged);
  EXPECT_EQ(code_of("5047534e01000000"), ErrorCode::damaged);
  EXPECT_EQ(code_of("5047534f04000000"), ErrorCode::newer_format);
}

TEST(OverlayLogTest, RefusesAWholeFrameThatMakesNoSense) {
  const auto expect_damaged = [](const OverlayRecord& record) {
    EXPECT_EQ(read_overlay_log(whole_log({record}, 1)).error().code(), ErrorCode::damaged);
  };
  NodeRecord node;
  node.kind = static_cast<OverlayNodeKind>(9);
  expect_damaged(node);
  node.kind = OverlayNodeKind::regular;
  node.base_path = "x";
  node.base_limit_bytes = std::uint64_t{1} << 60;
  expect_damaged(node);
  expect_damaged(NameRecord{1, "", 2});
}

class OverlayLogFileTest : public ::testing::Test {
 protected:
  std::vector<OverlayRecord> read() { return read_overlay_log(*read_file(path_))->records; }
  static OverlayRecord name(int number) { return NameRecord{1, fmt::format("name{}", number), 2}; }
  void append(int number) {
    const auto record = name(number);
    EXPECT_TRUE(log_->append(std::span(&record, 1)).has_value());
  }

  TemporaryDirectory folder_;
  std::filesystem::path path_ = folder_.path() / "log";
  std::unique_ptr<OverlayLog> log_ = *OverlayLog::rewrite(path_, one_of_each());
};

TEST_F(OverlayLogFileTest, GoesOnBehindWhatItWasMadeOf) {
  append(1);
  ASSERT_TRUE(log_->sync().has_value());
  EXPECT_EQ(read().size(), one_of_each().size() + 1);
  EXPECT_EQ(log_->size_bytes(), std::filesystem::file_size(path_)) << "room that is kept is no part of it";
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "log.new"));
}

TEST_F(OverlayLogFileTest, CompactsWhatWasBeforeAndKeepsWhatCameSince) {
  for (int number = 0; number < 100; ++number) append(number);
  const auto since = log_->size_bytes();
  append(100);
  append(101);
  ASSERT_TRUE(log_->compact(one_of_each(), since).has_value());
  append(102);
  ASSERT_TRUE(log_->sync().has_value());
  const auto records = read();
  ASSERT_EQ(records.size(), one_of_each().size() + 3);
  EXPECT_EQ(std::get<NameRecord>(records.back()).name, "name102");
  EXPECT_EQ(log_->size_bytes(), std::filesystem::file_size(path_));
}

TEST_F(OverlayLogFileTest, GoesOnWhenItCannotBeCompacted) {
  append(1);
  const auto since = log_->size_bytes();
  std::filesystem::create_directories(folder_.path() / "log.new" / "in the way");
  EXPECT_FALSE(log_->compact(one_of_each(), since).has_value());
  append(2);
  EXPECT_TRUE(log_->sync().has_value());
  EXPECT_EQ(read().size(), one_of_each().size() + 2);
}

}  // namespace
}  // namespace pgstrata
