// The header of a block.
#include "codec/digest.h"
#include "storage/near/near_store_test_support.h"

namespace pgstrata {
namespace {

// As docs/formats/near-cache.md has it.
constexpr std::string_view golden_header =
    "5047534e0100000042ac9f14099ac755390a5404129973be03000000b73f4b360000000000000000000000000000000000000000"
    "00000000"
    "000000004e226919";

TEST(NearBlockTest, GoldenHeader) {
  const auto key = near_block_key({.object = "clusters/app/packs/01", .version = {}, .number = 3});
  const auto header = near_block_header(key, as_byte_view("abc"));
  EXPECT_EQ(to_hex(write_near_block_header(header)), golden_header);
  const auto parsed = parse_near_block_header(*from_hex(golden_header));
  ASSERT_TRUE(parsed) << parsed.error().describe();
  EXPECT_EQ(*parsed, header);
}

TEST(NearBlockTest, KeysTellAllOfAPlace) {
  const ObjectVersion version{.size_bytes = 1, .modified = {2}};
  const std::vector<NearBlockPlace> places{{"a", {}, 0},      {"b", {}, 0},       {"a", {}, 1},
                                           {"a", version, 0}, {"a", {1, {3}}, 0}, {"a", {2, {2}}, 0},
                                           {"ab", {}, 0}};
  std::set<NearBlockKey> keys;
  for (const auto& place : places) keys.insert(near_block_key(place));
  EXPECT_EQ(keys.size(), places.size());
}

TEST(NearBlockTest, EveryChangeOfAHeaderIsDamage) {
  const auto whole = write_near_block_header(near_block_header({}, content_of(near_block_bytes, 1)));
  ASSERT_EQ(whole.size(), near_header_bytes);
  ASSERT_TRUE(parse_near_block_header(whole));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(parse_near_block_header(changed)) << at;
    EXPECT_FALSE(parse_near_block_header(ByteView(whole).first(at))) << at;
  }
}

}  // namespace
}  // namespace pgstrata
