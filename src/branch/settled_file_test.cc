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
  EXPECT_TRUE(writer->add(3, 0x8001, as_byte_view("first")));
  EXPECT_TRUE(writer->add(300, 0x0002, as_byte_view("second one")));
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

TEST(SettledFileTest, NoFlippedBitPasses) {
  const TemporaryDirectory folder;
  const auto whole = written(folder.path());
  const auto path = folder.path() / "2";
  const auto is_told = [&] {
    const auto file = SettledFile::open(path);
    if (!file) return true;
    for (const auto& extent : (*file)->extents())
      if (!(*file)->stored(extent)) return true;
    return false;
  };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto bytes = whole;
    bytes[at] ^= std::byte{0x10};
    ASSERT_TRUE(write_file(path, bytes).has_value());
    EXPECT_TRUE(is_told() || (at >= 4 && at < 8)) << at;  // the version: a lower one is none there was
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_TRUE(write_file(path, ByteView(whole).first(size)).has_value());
    EXPECT_TRUE(is_told()) << size;
  }
  ASSERT_TRUE(write_file(path, whole).has_value());
  EXPECT_FALSE(is_told());
}

TEST(SettledFileTest, OneThatIsNotFinishedChangesNothing) {
  const TemporaryDirectory folder;
  const auto whole = written(folder.path());
  {
    auto writer = SettledFileWriter::create(folder.path() / "2", 8);
    ASSERT_TRUE(writer->add(1, 1, as_byte_view("given up")));
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
