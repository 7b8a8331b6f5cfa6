#include "branch/settled_file.h"

#include <gtest/gtest.h>

#include "codec/compression.h"
#include "codec/digest.h"
#include "support/child_process.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

using testing::TemporaryDirectory;

// As version 1 wrote it, for ever: serial 7, extents 3 and 300 with "first" and "second one" stored.
constexpr std::string_view golden_file =
    "504753530100000066697273747365636f6e64206f6e650702030180080550a13e8aa80202000d0a39ff540f1700000000000000"
    "1500000004f1c89c";

Bytes written(const std::filesystem::path& folder) {
  auto writer = SettledFileWriter::create(folder / "2", 7);
  EXPECT_TRUE(writer->add({.number = 3, .pages = 0x8001, .stored_size = 5, .crc32c = 0x8A3EA150},
                          as_byte_view("first")));
  EXPECT_TRUE(writer->add({.number = 300, .pages = 2, .stored_size = 10, .crc32c = 0x0F54FF39},
                          as_byte_view("second one")));
  const auto file = writer->commit();
  EXPECT_TRUE(file.has_value());
  return *read_file(folder / "2");
}

TEST(SettledFileTest, IsAsVersion1WroteIt) {
  const TemporaryDirectory folder;
  EXPECT_EQ(to_hex(written(folder.path())), golden_file);
  const auto file = SettledFile::open(folder.path() / "2");
  ASSERT_TRUE(file.has_value()) << file.error().describe();
  EXPECT_EQ((*file)->serial(), 7U);
  ASSERT_EQ((*file)->extents().size(), 2U);
  EXPECT_EQ((*file)->find(2), nullptr);
  EXPECT_EQ((*file)->find(301), nullptr);
  const auto* second = (*file)->find(300);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->pages, 2U);
  EXPECT_EQ(as_text((*file)->stored(*second).value()), "second one");
}

// Nor does a base that is not the one it was.
TEST(SettledFileTest, NoFlippedBitPasses) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "2";
  Bytes base(extent_bytes, std::byte{'b'});
  auto content = base;
  for (std::size_t at = 0; at < page_size; at += 100) content[at] = static_cast<std::byte>(at / 100);
  Bytes difference(max_extent_difference_bytes);
  const auto size = encode_extent_difference(base, content, difference);
  const auto stored = compress(ByteView(difference).first(size.value()), 1);
  {
    auto writer = SettledFileWriter::create(path, 1);
    const auto crc = crc32c_finish(crc32c_extend(crc32c_begin, content));
    const auto stored_size = static_cast<std::uint32_t>(stored.size());
    ASSERT_TRUE(writer->add({.number = 3, .pages = 1, .stored_size = stored_size, .crc32c = crc}, stored));
    ASSERT_TRUE(writer->commit());
  }
  const auto whole = *read_file(path);
  const auto is_right = [&] {
    const auto file = SettledFile::open(path);
    if (!file || (*file)->find(3) == nullptr) return false;
    auto found = base;
    return (*file)->apply(*(*file)->find(3), found) && found == content;
  };
  EXPECT_TRUE(is_right());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto bytes = whole;
    bytes[at] ^= std::byte{0x10};
    ASSERT_TRUE(write_file(path, bytes).has_value());
    const auto file = SettledFile::open(path);
    auto found = base;
    const bool told = !file || (*file)->find(3) == nullptr || !(*file)->apply(*(*file)->find(3), found);
    EXPECT_TRUE(told || found == content) << at;  // not all bits of a zstd frame say something
  }
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    ASSERT_TRUE(write_file(path, ByteView(whole).first(cut)).has_value());
    EXPECT_FALSE(SettledFile::open(path).has_value()) << cut;
  }
  ASSERT_TRUE(write_file(path, whole).has_value());
  base[5 * page_size] ^= std::byte{1};
  EXPECT_FALSE(is_right());
}

TEST(SettledFileTest, OneThatIsNotFinishedChangesNothing) {
  const TemporaryDirectory folder;
  const auto whole = written(folder.path());
  {
    auto writer = SettledFileWriter::create(folder.path() / "2", 8);
    ASSERT_TRUE(writer->add({.number = 1, .pages = 1, .stored_size = 8}, as_byte_view("given up")));
  }
  EXPECT_EQ(*read_file(folder.path() / "2"), whole);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(SettledFileTest, ANewerVersionIsSaidToBe) {
  const TemporaryDirectory folder;
  auto bytes = written(folder.path());
  bytes[4] = std::byte{2};
  ASSERT_TRUE(write_file(folder.path() / "2", bytes).has_value());
  EXPECT_EQ(SettledFile::open(folder.path() / "2").error().code(), ErrorCode::newer_format);
  EXPECT_EQ(SettledFile::open(folder.path() / "3").error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace pgstrata
