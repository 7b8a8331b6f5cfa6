#include "repo/key_slot.h"

#include "codec/digest.h"
#include "repo/clear_json.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

constexpr std::string_view slot_id = "1f2e3d4c";

class KeySlotTest : public testing::Test {
 protected:
  Bytes seal(const KeySource& source) {
    return *seal_key_slot(repository_,
                          {.id = std::string(slot_id), .kind = kind_of(source), .created = {1'000'000}},
                          source, key_);
  }
  // The slot with one field another, its checksum right.
  static Bytes altered(const Bytes& slot, const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = nlohmann::json::parse(as_text(slot));
    json.erase("crc32c");
    change(json);
    return write_clear_json(std::move(json));
  }

  const RepositoryId repository_{{std::byte{1}}};
  const SecretKey key_ = fixed_key(3);
  const KeySource key_file_ = KeyFile{.secret = Bytes(32, std::byte{7})};
  const KeySource passphrase_ = Passphrase{.text = "correct horse"};
};

TEST_F(KeySlotTest, GivesTheKeyBack) {
  for (const KeySource& source : {key_file_, passphrase_, KeySource(NoEncryption{})}) {
    const auto key = open_key_slot(repository_, slot_id, seal(source), source);
    ASSERT_EQ(message_of(key), "ok");
    EXPECT_TRUE(std::ranges::equal(key->view(), key_.view()));
    const auto info = read_key_slot_info(repository_, slot_id, seal(source));
    ASSERT_EQ(message_of(info), "ok");
    EXPECT_EQ(info->kind, kind_of(source));
    EXPECT_EQ(info->created, Timestamp{1'000'000});
  }
}

TEST_F(KeySlotTest, NeverHoldsTheKeyInTheClear) {
  EXPECT_EQ(as_text(seal(key_file_)).find(to_hex(key_.view())), std::string_view::npos);
  EXPECT_NE(seal(key_file_), seal(key_file_));
}

TEST_F(KeySlotTest, TellsAWrongSecretFromDamage) {
  EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, seal(key_file_), KeyFile{.secret = Bytes(32)})),
            "wrong_key");
  EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, seal(passphrase_), Passphrase{.text = "x"})),
            "wrong_key");
  EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, seal(passphrase_), key_file_)), "wrong_key");
  const Bytes slot = seal(key_file_);
  for (std::size_t at = 0; at + 1 < slot.size(); ++at) {
    Bytes changed = slot;
    changed[at] ^= std::byte{1};
    EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, changed, key_file_)), "damaged") << at;
    EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, ByteView(slot).first(at), key_file_)), "damaged")
        << at;
  }
}

TEST_F(KeySlotTest, BelongsToItsRepositoryAndItsId) {
  const Bytes slot = seal(key_file_);
  const RepositoryId other{{std::byte{2}}};
  EXPECT_EQ(code_of(open_key_slot(other, slot_id, slot, key_file_)), "not_found");
  const Bytes relabelled = altered(slot, [&](auto& json) { json["repository"] = to_hex(other.bytes); });
  EXPECT_EQ(code_of(open_key_slot(other, slot_id, relabelled, key_file_)), "wrong_key");
  EXPECT_EQ(code_of(open_key_slot(repository_, "00000000", slot, key_file_)), "wrong_key");
}

TEST_F(KeySlotTest, RefusesCostsThatNobodyHonestAsksFor) {
  const Bytes slot = seal(passphrase_);
  const auto with_cost = [&](std::uint64_t operations, std::uint64_t memory_bytes) {
    return altered(slot, [&](auto& json) {
      json["argon2id"] = {{"operations", operations}, {"memory_bytes", memory_bytes}};
    });
  };
  for (const Bytes& costly : {with_cost(21, 64U << 20), with_cost(3, (1U << 30) + 1), with_cost(0, 64U << 20),
                              with_cost(3, 0), with_cost(~0ULL, ~0ULL)}) {
    EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, costly, passphrase_)), "damaged");
  }
}

TEST_F(KeySlotTest, RefusesFieldsThatAreMissingOrStrange) {
  const Bytes slot = seal(passphrase_);
  for (const char* field :
       {"repository", "kind", "created", "salt", "wrapped", "argon2id", "format", "version"}) {
    const Bytes without = altered(slot, [&](auto& json) { json.erase(field); });
    EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, without, passphrase_)), "damaged") << field;
    const Bytes strange = altered(slot, [&](auto& json) { json[field] = nlohmann::json::array({1, 2}); });
    EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, strange, passphrase_)), "damaged") << field;
  }
  const Bytes unknown = altered(slot, [](auto& json) { json["kind"] = "command"; });
  EXPECT_EQ(code_of(read_key_slot_info(repository_, slot_id, unknown)), "damaged");
}

TEST_F(KeySlotTest, OfANewerVersionAsksForAnUpgrade) {
  const Bytes newer = altered(seal(key_file_), [](auto& json) { json["version"] = 2; });
  EXPECT_EQ(code_of(open_key_slot(repository_, slot_id, newer, key_file_)), "newer_format");
  EXPECT_EQ(code_of(read_key_slot_info(repository_, slot_id, newer)), "newer_format");
}

}  // namespace
}  // namespace pgstrata
