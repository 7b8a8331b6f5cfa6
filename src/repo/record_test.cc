#include "repo/record.h"

#include "codec/digest.h"
#include "repo/object_header.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

class RecordTest : public testing::Test {
 protected:
  MemoryStore store_;
  ClusterSpace space_{store_, "app", fixed_key(1)};
  const std::string name_ = "snapshots/one";
  const std::string object_ = space_.object_name(name_);
};

TEST_F(RecordTest, ComesBackAsItWasPut) {
  const Bytes payload = sample_content(10'000, 1);
  ASSERT_EQ(message_of(put_record(space_, name_, RecordKind::snapshot, payload)), "ok");
  const auto back = get_record(space_, name_, RecordKind::snapshot);
  ASSERT_EQ(message_of(back), "ok");
  EXPECT_EQ(*back, payload);
  EXPECT_LT(store_.stat(object_)->size_bytes, payload.size());
}

TEST_F(RecordTest, MayBeEmpty) {
  ASSERT_EQ(message_of(put_record(space_, name_, RecordKind::snapshot, {})), "ok");
  const auto back = get_record(space_, name_, RecordKind::snapshot);
  ASSERT_EQ(message_of(back), "ok");
  EXPECT_TRUE(back->empty());
}

TEST_F(RecordTest, KeepsTheFirstOfAName) {
  ASSERT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, as_byte_view("first"))), "ok");
  EXPECT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, as_byte_view("second"))),
            "already_exists");
  EXPECT_EQ(as_text(*get_record(space_, name_, RecordKind::snapshot)), "first");
}

TEST_F(RecordTest, SaysWhatIsMissing) {
  EXPECT_EQ(code_of(get_record(space_, name_, RecordKind::snapshot)), "not_found");
}

TEST_F(RecordTest, IsNeverReadAsAnotherKind) {
  ASSERT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, as_byte_view("x"))), "ok");
  EXPECT_EQ(code_of(get_record(space_, name_, RecordKind::cluster)), "damaged");
}

TEST_F(RecordTest, DoesNotOpenWhereItWasNotPut) {
  ASSERT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, as_byte_view("x"))), "ok");
  ASSERT_TRUE(store_.put(space_.object_name("snapshots/two"), *store_.get(object_)).has_value());
  EXPECT_EQ(code_of(get_record(space_, "snapshots/two", RecordKind::snapshot)), "damaged");
  const ClusterSpace other(store_, "app", fixed_key(2));
  EXPECT_EQ(code_of(get_record(other, name_, RecordKind::snapshot)), "damaged");
}

TEST_F(RecordTest, TellsAnyDamageAndNamesTheObject) {
  ASSERT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, as_byte_view("a small payload"))), "ok");
  for_each_damage(store_, object_, [&](const std::string& what) {
    const auto back = get_record(space_, name_, RecordKind::snapshot);
    EXPECT_EQ(code_of(back), "damaged") << what;
    EXPECT_THAT(message_of(back), testing::HasSubstr(object_)) << what;
  });
  EXPECT_EQ(code_of(get_record(space_, name_, RecordKind::snapshot)), "ok");
}

TEST_F(RecordTest, OfANewerVersionAsksForAnUpgrade) {
  ASSERT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, as_byte_view("x"))), "ok");
  Bytes object = *store_.get(object_);
  object[4] = std::byte{2};
  const std::uint32_t crc = crc32c_finish(crc32c_extend(crc32c_begin, ByteView(object).first(24)));
  for (std::size_t i = 0; i < 4; ++i) object[24 + i] = static_cast<std::byte>(crc >> (8 * i));
  overwrite(store_, object_, object);
  const auto back = get_record(space_, name_, RecordKind::snapshot);
  ASSERT_EQ(code_of(back), "newer_format");
  EXPECT_THAT(back.error().hint(), testing::HasSubstr("Upgrade"));
}

TEST_F(RecordTest, RefusesMoreThanTheLimit) {
  const Bytes payload(max_record_size_bytes + 1);
  EXPECT_EQ(code_of(put_record(space_, name_, RecordKind::snapshot, payload)), "usage");
}

}  // namespace
}  // namespace pgstrata
