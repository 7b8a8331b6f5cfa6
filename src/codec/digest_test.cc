#include "codec/digest.h"

#include <random>

#include <gtest/gtest.h>

#include "codec/crc32c.h"

namespace pgstrata {
namespace {

std::uint32_t crc32c_of(ByteView bytes) {
  return crc32c_finish(crc32c_extend(crc32c_begin, bytes));
}

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256, MatchesPublishedVectors) {
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256(as_byte_view("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256(as_byte_view("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

// The check value, and RFC 3720, appendix B.4.
// RFC 4231, test cases 1, 2 and 6.
TEST(DigestTest, HmacSha256) {
  const Bytes key(20, std::byte{0x0B});
  EXPECT_EQ(to_hex(hmac_sha256(key, as_byte_view("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(as_byte_view("Jefe"), as_byte_view("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const Bytes long_key(131, std::byte{0xAA});
  EXPECT_EQ(to_hex(hmac_sha256(long_key, as_byte_view("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

// RFC 4648, section 10.
TEST(DigestTest, Base64) {
  EXPECT_EQ(to_base64({}), "");
  EXPECT_EQ(to_base64(as_byte_view("f")), "Zg==");
  EXPECT_EQ(to_base64(as_byte_view("fo")), "Zm8=");
  EXPECT_EQ(to_base64(as_byte_view("foobar")), "Zm9vYmFy");
}

TEST(Crc32c, MatchesPublishedVectors) {
  EXPECT_EQ(crc32c_of(as_byte_view("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c_of({}), 0U);
  EXPECT_EQ(crc32c_of(Bytes(32)), 0x8A9136AAU);
  EXPECT_EQ(crc32c_of(Bytes(32, std::byte{0xFF})), 0x62A8AB43U);
  Bytes rising(32);
  for (std::size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c_of(rising), 0x46DD794EU);
}

// Every length around the sizes of the interleaved blocks, at several alignments, against one table look-up
// per byte.
TEST(Crc32c, AllWaysAgree) {
  std::mt19937_64 random(2);
  Bytes bytes(80'000);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  for (int i = 0; i < 600; ++i) {
    const std::size_t offset = random() % 16;
    const std::size_t size = random() % (i < 200 ? 300 : i < 400 ? 6'000 : 70'000);
    const ByteView part = ByteView(bytes).subspan(offset, size);
    const auto begin = static_cast<std::uint32_t>(random());
    std::uint32_t expected = begin;
    for (const std::byte& byte : part) expected = crc32c::extend_portable(expected, ByteView(&byte, 1));
    ASSERT_EQ(crc32c::extend_portable(begin, part), expected) << offset << " " << size;
    ASSERT_EQ(crc32c_extend(begin, part), expected) << offset << " " << size;
  }
}

TEST(Crc32c, ExtendsPieceByPiece) {
  const ByteView text = as_byte_view("123456789");
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::uint32_t crc = crc32c_extend(crc32c_extend(crc32c_begin, text.first(cut)), text.subspan(cut));
    EXPECT_EQ(crc32c_finish(crc), 0xE3069283U);
  }
}

TEST(Hex, RoundTrips) {
  EXPECT_EQ(to_hex(Bytes{std::byte{0x00}, std::byte{0xAb}, std::byte{0xFF}}), "00abff");
  EXPECT_EQ(from_hex("00aBfF").value(), (Bytes{std::byte{0x00}, std::byte{0xAB}, std::byte{0xFF}}));
  EXPECT_TRUE(from_hex("").value().empty());
  EXPECT_EQ(from_hex("abc").error().code(), ErrorCode::usage);
  EXPECT_EQ(from_hex("0g").error().code(), ErrorCode::usage);
  EXPECT_EQ(from_hex("g0").error().code(), ErrorCode::usage);
}

}  // namespace
}  // namespace pgstrata
