#include "codec/secret.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "codec/digest.h"
#include "codec/keys_for_test.h"

namespace pgstrata {
namespace {

TEST(SecretKey, HasThirtyTwoBytes) {
  EXPECT_EQ(SecretKey::from(Bytes(31)).error().code(), ErrorCode::usage);
  EXPECT_EQ(SecretKey::from(Bytes(33)).error().code(), ErrorCode::usage);
  EXPECT_EQ(counting_key().view()[31], std::byte{31});
}

TEST(SecretKey, RandomKeysDiffer) {
  EXPECT_FALSE(std::ranges::equal(SecretKey::random().view(), SecretKey::random().view()));
  EXPECT_NE(random_bytes(32), random_bytes(32));
  EXPECT_TRUE(random_bytes(0).empty());
}

// Values from an independent implementation of RFC 5869.
TEST(DeriveKey, MatchesAnIndependentImplementation) {
  EXPECT_EQ(to_hex(derive_key(counting_key(), as_byte_view("salt"), "purpose").view()),
            "94667bce5e44fbfb519b064d97bb4a4e6714993a9e0f99c8485e090a33876fa8");
  EXPECT_EQ(to_hex(derive_key(counting_key(), {}, "").view()),
            "37ad29109f43265287804b674e2653d0a513718907f97fca97c95bded8104bbf");
}

TEST(DeriveKey, PurposeAndSaltSeparateKeys) {
  const std::string base = to_hex(derive_key(counting_key(), as_byte_view("salt"), "pack").view());
  EXPECT_EQ(base, to_hex(derive_key(counting_key(), as_byte_view("salt"), "pack").view()));
  EXPECT_NE(base, to_hex(derive_key(counting_key(), as_byte_view("salt"), "wal").view()));
  EXPECT_NE(base, to_hex(derive_key(counting_key(), as_byte_view("tlas"), "pack").view()));
}

Bytes counting_salt() {
  return to_bytes(counting_key().view().first(16));
}

// Value from an independent implementation of RFC 9106 with one lane.
TEST(DeriveKeyFromPassphrase, MatchesAnIndependentImplementation) {
  const auto key = derive_key_from_passphrase("correct horse", counting_salt(),
                                              {.operations = 2, .memory_bytes = 8192 * 1024});
  ASSERT_TRUE(key) << key.error().describe();
  EXPECT_EQ(to_hex(key->view()), "5d6feb78fec962f9fe4465119605b64a5dbce8acde9e8ae0c8b3d4c2f518c9a4");
}

TEST(DeriveKeyFromPassphrase, RefusesAnOddSaltAndCostsOutOfRange) {
  const Argon2idCost cheap{.operations = 1, .memory_bytes = 8192};
  EXPECT_TRUE(derive_key_from_passphrase("", counting_salt(), cheap));
  const auto code = [](ByteView salt, Argon2idCost cost) {
    const auto key = derive_key_from_passphrase("x", salt, cost);
    return key ? ErrorCode::failed : key.error().code();
  };
  EXPECT_EQ(code(Bytes(15), cheap), ErrorCode::usage);
  EXPECT_EQ(code(counting_salt(), {.operations = 0, .memory_bytes = 8192}), ErrorCode::usage);
  EXPECT_EQ(code(counting_salt(), {.operations = 65, .memory_bytes = 8192}), ErrorCode::usage);
  EXPECT_EQ(code(counting_salt(), {.operations = 1, .memory_bytes = 8191}), ErrorCode::usage);
  EXPECT_EQ(code(counting_salt(), {.operations = 1, .memory_bytes = std::uint64_t{1} << 40}),
            ErrorCode::usage);
}

}  // namespace
}  // namespace pgstrata
