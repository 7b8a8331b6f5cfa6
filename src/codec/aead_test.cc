#include "codec/aead.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/digest.h"
#include "codec/keys_for_test.h"

namespace pgstrata {
namespace {

SecretKey zero_key() {
  return *SecretKey::from(Bytes(SecretKey::size_bytes));
}

Bytes seal(Aead& aead, std::uint64_t nonce, std::string_view additional, ByteView plain) {
  Bytes sealed(plain.size() + Aead::tag_size_bytes);
  aead.seal(nonce, as_byte_view(additional), plain, sealed);
  return sealed;
}

Result<Bytes> open(Aead& aead, std::uint64_t nonce, std::string_view additional, ByteView sealed) {
  Bytes plain(sealed.size() - Aead::tag_size_bytes);
  PGS_CHECK(aead.open(nonce, as_byte_view(additional), sealed, plain));
  return plain;
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14.
TEST(Aead, MatchesPublishedVectors) {
  Aead aead(zero_key());
  EXPECT_EQ(to_hex(seal(aead, 0, "", {})), "530f8afbc74536b9a963b4f1c4cb738b");
  EXPECT_EQ(to_hex(seal(aead, 0, "", Bytes(16))),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

// From an independent implementation: nonce 00000000 0102030405060708.
TEST(Aead, NonceIsFourZerosThenTheCounterBigEndian) {
  Aead aead(counting_key());
  EXPECT_EQ(to_hex(seal(aead, 0x0102030405060708, "aad", as_byte_view("hello"))),
            "6c340962b2107fbbe27c37020cae4ea8ef8f8ab4fa");
}

TEST(Aead, OpensWhatItSealedInAnyOrder) {
  std::mt19937_64 random(1);
  Aead aead(SecretKey::random());
  std::vector<std::pair<Bytes, Bytes>> pairs;
  for (std::uint64_t nonce = 0; nonce < 40; ++nonce) {
    Bytes plain(random() % 5000);
    for (auto& byte : plain) byte = static_cast<std::byte>(random());
    pairs.emplace_back(plain, seal(aead, nonce, "pack", plain));
  }
  for (std::uint64_t nonce = 40; nonce-- > 0;) {
    const Result<Bytes> opened = open(aead, nonce, "pack", pairs[nonce].second);
    ASSERT_TRUE(opened) << opened.error().describe();
    EXPECT_EQ(*opened, pairs[nonce].first);
  }
}

TEST(Aead, RefusesEverySingleBitFlip) {
  Aead aead(counting_key());
  const Bytes plain = to_bytes("thirty-one bytes of plain text.");
  const Bytes sealed = seal(aead, 7, "additional", plain);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes tampered = sealed;
    tampered[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    Bytes into(plain.size(), std::byte{0x55});
    const Result<void> opened = aead.open(7, as_byte_view("additional"), tampered, into);
    ASSERT_FALSE(opened) << "bit " << bit;
    EXPECT_EQ(opened.error().code(), ErrorCode::damaged);
    EXPECT_EQ(into, Bytes(plain.size())) << "unauthenticated plain text is wiped";
  }
  EXPECT_TRUE(open(aead, 7, "additional", sealed));
}

TEST(Aead, RefusesAnotherNonceAdditionalDataKeyOrLength) {
  Aead aead(counting_key());
  const Bytes sealed = seal(aead, 7, "additional", as_byte_view("plain"));
  EXPECT_FALSE(open(aead, 8, "additional", sealed));
  EXPECT_FALSE(open(aead, 7, "Additional", sealed));
  EXPECT_FALSE(open(aead, 7, "additional", ByteView(sealed).first(sealed.size() - 1)));
  Aead other(zero_key());
  EXPECT_FALSE(open(other, 7, "additional", sealed));
  MutableByteView none;
  EXPECT_FALSE(aead.open(7, {}, ByteView(sealed).first(15), none)) << "shorter than a tag";
}

TEST(ContentTagger, MatchesAnIndependentImplementation) {
  ContentTagger tagger(counting_key());
  EXPECT_EQ(to_hex(tagger.tag(as_byte_view("content"))), "c37b37d41026612971684dca186ea625");
  ContentTagger zero(zero_key());
  EXPECT_EQ(to_hex(zero.tag({})), "530f8afbc74536b9a963b4f1c4cb738b");
}

TEST(ContentTagger, DependsOnContentAndKeyAlone) {
  ContentTagger tagger(counting_key());
  const auto first = tagger.tag(as_byte_view("a"));
  EXPECT_NE(first, tagger.tag(as_byte_view("b")));
  EXPECT_NE(first, tagger.tag(as_byte_view(std::string_view("a\0", 2))));
  EXPECT_EQ(first, tagger.tag(as_byte_view("a")));
  ContentTagger moved = std::move(tagger);
  EXPECT_EQ(first, moved.tag(as_byte_view("a")));
  ContentTagger other(zero_key());
  EXPECT_NE(first, other.tag(as_byte_view("a")));
}

}  // namespace
}  // namespace pgstrata
