#include "catalog/wal_reader.h"

#include <gtest/gtest.h>

#include "catalog/timelines.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t segment_size_bytes = 1U << 20;
constexpr TimelineId first_timeline{1};
constexpr Lsn start{3 * std::uint64_t{segment_size_bytes}};
constexpr std::size_t frame_bytes = 100;

// Notes which names were made durable.
class NotingStore : public MemoryStore {
 public:
  Result<void> make_names_durable(std::string_view prefix) override {
    made_durable.emplace_back(prefix);
    return {};
  }
  std::vector<std::string> made_durable;
};

class WalTailsTest : public ::testing::Test {
 protected:
  // The bytes [from, to) of the segment, a durable frame for each hundred. Returns the object's name.
  std::string tail(std::size_t from, std::size_t to) {
    auto writer = WalTailWriter::create(space_, first_timeline, start + from, segment_size_bytes).value();
    for (std::size_t at = from; at < to; at += frame_bytes) {
      EXPECT_TRUE(writer.append(ByteView(content_).subspan(at, frame_bytes)));
      EXPECT_TRUE(writer.mark({writer.end(), time_at(writer.end() - start)}));
      EXPECT_TRUE(writer.sync());
    }
    return space_.object_name(writer.name());
  }
  void seal_partial(std::size_t size) {
    auto writer =
        WalSegmentWriter::create_partial(space_, first_timeline, start, segment_size_bytes, system_clock(), 1)
            .value();
    ASSERT_TRUE(writer.append(ByteView(content_).first(size)));
    WalSegmentSummary summary{{42}, first_timeline, start, start + size, {}, {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.end_lsn;
    ASSERT_TRUE(writer.commit(summary));
  }
  // Damages the tail in its frame of these bytes.
  void damage(const std::string& name, std::size_t frame) {
    constexpr std::size_t header = 28;
    constexpr std::size_t stored_bytes = frame_bytes + 9 + 36;
    constexpr std::size_t stored_mark = 17 + 36;
    Bytes object = space_.store().get(name).value();
    object[header + frame * (stored_bytes + stored_mark) + 50] ^= std::byte{1};
    ASSERT_TRUE(space_.store().remove(name));
    ASSERT_TRUE(space_.store().put(name, object));
  }
  static Timestamp time_at(std::uint64_t offset) {
    return {1'795'000'000'000'000 + static_cast<std::int64_t>(offset) * 1'000'000};
  }
  Result<WalSegmentBytes> read() {
    return read_wal_segment(space_, WalInventory::load(space_, segment_size_bytes).value(), first_timeline,
                            start);
  }
  void expect_up_to(std::size_t end) {
    const auto segment = read();
    ASSERT_TRUE(segment) << segment.error().describe();
    EXPECT_EQ(segment->bytes.size(), end);
    EXPECT_TRUE(std::ranges::equal(segment->bytes, ByteView(content_).first(segment->bytes.size())));
    EXPECT_EQ(segment->mark.time, time_at(end));
  }
  static Bytes numbers(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 2654435761U >> 11);
    return bytes;
  }

  const Bytes content_ = numbers(4000);
  Repository repository_ =
      Repository::create(std::make_unique<NotingStore>(), NoEncryption{}, system_clock()).value();
  ClusterSpace space_ = repository_.create_cluster("app").value();
};

TEST_F(WalTailsTest, ADamagedOldTailDoesNotHideANewerOne) {
  damage(tail(0, 1000), 3);
  tail(0, 1500);
  expect_up_to(1500);
}

TEST_F(WalTailsTest, WhatIsBeforeTheDamageIsUsed) {
  damage(tail(0, 1000), 6);
  tail(500, 1500);
  expect_up_to(1500);
}

TEST_F(WalTailsTest, WhatIsBehindTheDamageIsUsed) {
  tail(0, 500);
  damage(tail(0, 1000), 3);
  expect_up_to(1000);
}

TEST_F(WalTailsTest, DamageThatNothingMakesUpForIsDamage) {
  tail(0, 200);
  damage(tail(0, 1000), 3);
  EXPECT_EQ(read().error().code(), ErrorCode::damaged);
  tail(0, 300);
  EXPECT_EQ(read().error().code(), ErrorCode::damaged);
  tail(0, 400);
  expect_up_to(1000);
}

TEST_F(WalTailsTest, AMarkBeyondAHoleSaysNothing) {
  tail(0, 400);
  tail(600, 700);
  expect_up_to(400);
}

TEST_F(WalTailsTest, APartialMakesUpForADamagedTail) {
  damage(tail(0, 1000), 3);
  seal_partial(1000);
  expect_up_to(1000);
}

// A sync shows in the frame after it.
TEST_F(WalTailsTest, OnlyWhatALaterFrameVouchesForIsKnownToBeDurable) {
  auto writer = WalTailWriter::create(space_, first_timeline, start, segment_size_bytes).value();
  const auto durable = [&] { return read()->durable_to; };
  ASSERT_TRUE(writer.append(Bytes(500, std::byte{1})));
  ASSERT_TRUE(writer.sync());
  EXPECT_EQ(durable(), start);
  ASSERT_TRUE(writer.append(Bytes(400, std::byte{1})));
  EXPECT_EQ(read()->bytes.size(), 900U);
  EXPECT_EQ(durable(), start + 500);
  ASSERT_TRUE(writer.sync());
  ASSERT_TRUE(writer.mark({start + 900, {1}}));
  EXPECT_EQ(durable(), start + 900);
  seal_partial(950);
  EXPECT_EQ(durable(), start + 950);
}

TEST_F(WalTailsTest, TailsMakeUpForADamagedPartial) {
  seal_partial(1000);
  const auto name =
      space_.object_name(wal_object_name(first_timeline, start, segment_size_bytes) + ".partial");
  Bytes object = space_.store().get(name).value();
  object[60] ^= std::byte{1};  // of the WAL; the summary stays whole
  ASSERT_TRUE(space_.store().remove(name));
  ASSERT_TRUE(space_.store().put(name, object));
  tail(0, 900);
  EXPECT_EQ(read().error().code(), ErrorCode::damaged);
  tail(0, 1000);
  expect_up_to(1000);
  seal_partial(900);
  EXPECT_FALSE(space_.store().get(name).value() == object) << "what can be read takes its place";
  expect_up_to(1000);
  seal_partial(1100);
  EXPECT_EQ(read()->bytes.size(), 1100U);
}

// Recovery holds single packs' keys, which must not lead to the key of the cluster's tags.
TEST_F(WalTailsTest, SealedWalHasNoContentTags) {
  seal_partial(1000);
  const auto name = wal_object_name(first_timeline, start, segment_size_bytes) + ".partial";
  const auto pack = PackReader::open(space_, name, PackKind::wal).value();
  ASSERT_EQ(pack.directory().size(), 2U);
  for (const auto& entry : pack.directory()) EXPECT_EQ(entry.tag, ContentTag{});
}

TEST_F(WalTailsTest, TheLongerPartialStays) {
  seal_partial(500);
  seal_partial(900);
  EXPECT_EQ(read()->bytes.size(), 900U);
  seal_partial(700);
  EXPECT_EQ(read()->bytes.size(), 900U);
}

// What is promised because of a name that another process gave must outlive a crash of the machine.
TEST_F(WalTailsTest, NamesThatWerePromisedUponAreDurable) {
  auto& made_durable = dynamic_cast<NotingStore&>(space_.store()).made_durable;
  ASSERT_TRUE(WalInventory::load(space_, segment_size_bytes));
  EXPECT_TRUE(made_durable.empty());
  ASSERT_TRUE(WalInventory::load_durable(space_, segment_size_bytes));
  EXPECT_EQ(made_durable, std::vector{space_.object_name("wal/")});
  const auto history = as_byte_view("1\t0/480000\tno recovery target specified\n");
  ASSERT_TRUE(put_timeline_history(space_, {2}, history));
  ASSERT_TRUE(put_timeline_history(space_, {2}, history));
  EXPECT_EQ(made_durable.back(), space_.object_name("timelines/00000002"));
}

}  // namespace
}  // namespace pgstrata
