#include "codec/endian.h"

#include <gtest/gtest.h>

#include "codec/digest.h"

namespace pgstrata {
namespace {

TEST(Endian, WritesTheOrderItNames) {
  ByteWriter writer;
  writer.u8(0x01);
  writer.u16(0x0203);
  writer.u32(0x04050607);
  writer.u64(0x08090A0B0C0D0E0F);
  writer.big(std::uint32_t{0x10111213});
  writer.varint(300);
  writer.text("ab");
  EXPECT_EQ(to_hex(writer.view()),
            "01"
            "0302"
            "07060504"
            "0f0e0d0c0b0a0908"
            "10111213"
            "ac02"
            "026162");

  ByteReader reader(writer.view());
  EXPECT_EQ(reader.u8(), 0x01);
  EXPECT_EQ(reader.u16(), 0x0203);
  EXPECT_EQ(reader.u32(), 0x04050607U);
  EXPECT_EQ(reader.u64(), 0x08090A0B0C0D0E0FU);
  EXPECT_EQ(reader.big<std::uint32_t>(), 0x10111213U);
  EXPECT_EQ(reader.varint(), 300U);
  EXPECT_EQ(reader.text(), "ab");
  EXPECT_TRUE(reader.finished());
}

TEST(Endian, VarintsRoundTripAndEnd) {
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, ~std::uint64_t{0}}) {
    ByteWriter writer;
    writer.varint(value);
    ByteReader reader(writer.view());
    EXPECT_EQ(reader.varint(), value);
    EXPECT_TRUE(reader.finished());
  }
  const Bytes endless(20, std::byte{0x80});
  ByteReader reader(endless);
  EXPECT_EQ(reader.varint(), 0U);
  EXPECT_TRUE(reader.failed());
}

TEST(Endian, AReaderStopsAtTheEndForGood) {
  const Bytes bytes = *from_hex("010203");
  ByteReader reader(bytes);
  EXPECT_EQ(reader.u32(), 0U);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.u8(), 0) << "also what would have fitted";
  ByteReader text(bytes);
  text.skip(2);
  EXPECT_TRUE(text.text().empty()) << "a length of 3 with nothing behind it";
  EXPECT_FALSE(text.finished());
}

}  // namespace
}  // namespace pgstrata
