#include "catalog/wal_reader.h"

#include <random>

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

class SealedWalTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t large_segment_bytes = 4 * wal_piece_bytes;
  static constexpr Lsn begin{2 * std::uint64_t{large_segment_bytes}};

  void SetUp() override {
    std::mt19937_64 random(20261130);
    for (auto& byte : content_) byte = static_cast<std::byte>(random());
    for (Lsn at = begin; at < begin + content_.size(); at += large_segment_bytes) seal(at);
  }
  void seal(Lsn at) {
    auto writer =
        WalSegmentWriter::create(space_, first_timeline, at, large_segment_bytes, system_clock(), 1).value();
    ASSERT_TRUE(writer.append(ByteView(content_).subspan(at - begin, large_segment_bytes)));
    WalSegmentSummary summary{{42}, first_timeline, at, at + large_segment_bytes, {}, {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.end_lsn;
    ASSERT_TRUE(writer.commit(summary));
  }
  // Where it ended; what was handed out is `out_`, in no part larger than a piece.
  Lsn read(Lsn from, Lsn to, std::size_t parts = SIZE_MAX) {
    out_.clear();
    const auto inventory = WalInventory::load(space_, large_segment_bytes).value();
    return read_wal(space_, inventory, first_timeline, from, to,
                    [&](Lsn at, ByteView bytes) -> Result<bool> {
                      EXPECT_EQ(at, from + out_.size());
                      EXPECT_LE(bytes.size(), wal_piece_bytes);
                      append(out_, bytes);
                      return --parts > 0;
                    })
        .value();
  }

  Bytes content_ = Bytes(2 * large_segment_bytes);
  Bytes out_;
  Repository repository_ =
      Repository::create(std::make_unique<MemoryStore>(), NoEncryption{}, system_clock()).value();
  ClusterSpace space_ = repository_.create_cluster("app").value();
};

TEST_F(SealedWalTest, AnyStretchIsReadPieceByPiece) {
  constexpr std::size_t piece = wal_piece_bytes;
  const std::vector<std::pair<std::size_t, std::size_t>> stretches{{0, 8 * piece},
                                                                   {5, 6},
                                                                   {piece - 1, piece + 1},
                                                                   {piece, 2 * piece},
                                                                   {3 * piece + 7, 6 * piece - 1},
                                                                   {4 * piece, 4 * piece + 1},
                                                                   {8 * piece - 1, 8 * piece}};
  for (const auto& [from, to] : stretches) {
    EXPECT_EQ(read(begin + from, begin + to), begin + to);
    EXPECT_TRUE(std::ranges::equal(out_, ByteView(content_).subspan(from, to - from)))
        << from << " to " << to;
  }
  EXPECT_EQ(read(begin + 5, {UINT64_MAX}), begin + content_.size()) << "up to what is there";
}

TEST_F(SealedWalTest, ItStopsWhereItsReaderHasEnough) {
  EXPECT_EQ(read(begin + 5, {UINT64_MAX}, 2), begin + 2 * wal_piece_bytes);
  EXPECT_EQ(out_.size(), 2 * wal_piece_bytes - 5);
}

}  // namespace
}  // namespace pgstrata
