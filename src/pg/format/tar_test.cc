#include "pg/format/tar.h"

#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using testing::HasSubstr;

struct SeenMember {
  std::string name;
  std::string link_target;
  TarType type;
  std::uint64_t size_bytes;
  std::uint32_t mode;
  std::uint64_t offset;
  std::string content;
  bool ended = false;
};

class MemberCollector final : public TarHandler {
 public:
  Result<void> begin_member(const TarMember& member) override {
    if (member.name == refuse) return fail(ErrorCode::cancelled, "enough");
    members.push_back({std::string(member.name),
                       std::string(member.link_target),
                       member.type,
                       member.size_bytes,
                       member.mode,
                       member.offset,
                       {},
                       false});
    return {};
  }
  Result<void> content(ByteView bytes) override {
    EXPECT_FALSE(bytes.empty());
    EXPECT_FALSE(members.back().ended);
    members.back().content += as_text(bytes);
    return {};
  }
  Result<void> end_member() override {
    members.back().ended = true;
    return {};
  }
  std::vector<SeenMember> members;
  std::string refuse = "?";
};

void put(std::string& block, std::size_t offset, std::string_view text) {
  block.replace(offset, text.size(), text);
}

std::string base256(std::uint64_t value) {
  std::string text(12, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[11 - i] = static_cast<char>((value >> (8 * i)) & 0xFFU);
  text[0] = static_cast<char>(0x80);
  return text;
}

void seal(std::string& block) {
  put(block, 148, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(block, 148, fmt::format("{:07o}", sum) + '\0');
}

std::string header(std::string_view name, std::uint64_t size, char type = '0', std::string_view target = "") {
  std::string block(512, '\0');
  put(block, 0, name);
  put(block, 100, "0000600 ");
  put(block, 108, "0001750 ");
  put(block, 116, "0001750 ");
  put(block, 124, size < (std::uint64_t{1} << 33U) ? fmt::format("{:011o} ", size) : base256(size));
  put(block, 136, "14742401000 ");
  block[156] = type;
  put(block, 157, target);
  put(block, 257, std::string_view("ustar\00000", 8));
  put(block, 265, "postgres");
  seal(block);
  return block;
}

std::string padded(std::string content) {
  content.resize((content.size() + 511) / 512 * 512);
  return content;
}

std::string archive() {
  return header("PG_VERSION", 3) + padded("15\n") + header("base/", 0, '5') + header("empty", 0) +
         header("pg_tblspc/16400", 0, '2', "/srv/fast") + header("block", 512) + std::string(512, 'b') +
         header(std::string(99, 'n'), 1025) + padded(std::string(1025, 'x'));
}

TEST(Tar, ReadsMembersOfEachType) {
  MemberCollector collector;
  TarParser parser(collector);
  const std::string bytes = archive() + std::string(1024, '\0');
  ASSERT_TRUE(parser.feed(as_byte_view(bytes)));
  ASSERT_TRUE(parser.finish());
  ASSERT_EQ(collector.members.size(), 6U);
  const auto& members = collector.members;
  EXPECT_EQ(members[0].name, "PG_VERSION");
  EXPECT_EQ(members[0].content, "15\n");
  EXPECT_EQ(members[0].mode, 0600U);
  EXPECT_EQ(members[1].name, "base");
  EXPECT_EQ(members[1].type, TarType::directory);
  EXPECT_EQ(members[2].size_bytes, 0U);
  EXPECT_EQ(members[3].type, TarType::symbolic_link);
  EXPECT_EQ(members[3].link_target, "/srv/fast");
  EXPECT_EQ(members[4].content, std::string(512, 'b'));
  EXPECT_EQ(members[5].name, std::string(99, 'n'));
  EXPECT_EQ(members[5].content, std::string(1025, 'x'));
  EXPECT_EQ(members[5].offset, 7U * 512);
  for (const auto& member : members) EXPECT_TRUE(member.ended) << member.name;
}

TEST(Tar, GivesTheSameInPiecesOfAnySize) {
  const std::string bytes = archive() + std::string(1024, '\0');
  for (unsigned seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::uniform_int_distribution<std::size_t> piece(1, 1U << (seed % 12U));
    MemberCollector collector;
    TarParser parser(collector);
    for (std::size_t at = 0; at < bytes.size();) {
      const std::string part = bytes.substr(at, piece(random));
      ASSERT_TRUE(parser.feed(as_byte_view(part)));
      at += part.size();
    }
    ASSERT_TRUE(parser.finish());
    ASSERT_EQ(collector.members.size(), 6U);
    EXPECT_EQ(collector.members[5].content, std::string(1025, 'x'));
    EXPECT_EQ(collector.members[5].offset, 7U * 512);
    EXPECT_TRUE(collector.members[5].ended);
  }
}

TEST(Tar, AcceptsAnArchiveWithoutItsEnd) {
  MemberCollector collector;
  TarParser parser(collector);
  ASSERT_TRUE(parser.feed(as_byte_view(archive())));
  EXPECT_TRUE(parser.finish());
}

TEST(Tar, ReadsSizesBeyondEightGigabytes) {
  MemberCollector collector;
  TarParser parser(collector);
  ASSERT_TRUE(parser.feed(as_byte_view(header("large", (std::uint64_t{1} << 40U) + 7))));
  EXPECT_EQ(collector.members[0].size_bytes, (std::uint64_t{1} << 40U) + 7);
  EXPECT_EQ(parser.finish().error().code(), ErrorCode::damaged);
}

TEST(Tar, RefusesAndNamesTheOffset) {
  const std::string good = header("a", 512) + std::string(512, 'a');
  std::string flipped = header("b", 1);
  flipped[3] = 'x';
  std::string odd_size = header("b", 1);
  put(odd_size, 124, "99999999999 ");
  seal(odd_size);
  std::string huge = header("b", 1);
  put(huge, 124, std::string(12, '\xff'));
  seal(huge);
  for (const auto& second : {flipped, odd_size, huge, std::string(512, 'z'), header("", 0)}) {
    MemberCollector collector;
    TarParser parser(collector);
    const auto result = parser.feed(as_byte_view(good + second));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::damaged);
    EXPECT_THAT(result.error().message(), HasSubstr("offset 1024"));
  }
  for (const char type : {'1', '3', 'x', 'L', 'g'}) {
    MemberCollector collector;
    TarParser parser(collector);
    EXPECT_EQ(parser.feed(as_byte_view(header("a", 0, type))).error().code(), ErrorCode::unsupported);
  }
}

TEST(Tar, RefusesBytesAfterTheEnd) {
  MemberCollector collector;
  TarParser parser(collector);
  ASSERT_TRUE(parser.feed(as_byte_view(archive() + std::string(10240, '\0'))));
  EXPECT_FALSE(parser.feed(as_byte_view("x")));
  TarParser second(collector);
  EXPECT_FALSE(second.feed(as_byte_view(archive() + std::string(512, '\0') + header("a", 0))));
}

TEST(Tar, RefusesAnArchiveCutShort) {
  const std::string bytes = archive();
  for (const std::size_t size : {std::size_t{100}, std::size_t{513}, std::size_t{600}, bytes.size() - 1}) {
    MemberCollector collector;
    TarParser parser(collector);
    ASSERT_TRUE(parser.feed(as_byte_view(bytes.substr(0, size))));
    EXPECT_EQ(parser.finish().error().code(), ErrorCode::damaged) << size;
  }
}

TEST(Tar, PassesOnTheHandlersError) {
  MemberCollector collector;
  collector.refuse = "empty";
  TarParser parser(collector);
  EXPECT_EQ(parser.feed(as_byte_view(archive())).error().code(), ErrorCode::cancelled);
  EXPECT_EQ(collector.members.size(), 2U);
}

}  // namespace
}  // namespace pgstrata
