#include "pg/format/wal_reader.h"

#include <map>

#include <gtest/gtest.h>

#include "base/sanitized.h"
#include "codec/endian.h"
#include "pg/format/wal_samples_for_test.h"

namespace pgstrata {
namespace {

struct SeenRecord {
  Lsn start;
  Lsn end;
  Rmgr rmgr;
  std::uint8_t info;
  std::size_t size;
  bool operator==(const SeenRecord&) const = default;
};

class Collector final : public WalRecordHandler {
 public:
  Result<void> record(const WalRecord& record) override {
    seen.push_back({record.start, record.end, record.rmgr, record.info, record.bytes.size()});
    ++by_rmgr[std::string(to_string(record.rmgr))];
    for (const auto& block : record.blocks()) {
      if (!block.has_image) continue;
      ++images;
      if (block.image.compression == ImageCompression::pglz) ++compressed_images;
      EXPECT_TRUE(block.image.applies);
    }
    return {};
  }
  std::vector<SeenRecord> seen;
  std::map<std::string, std::uint64_t> by_rmgr;
  std::uint64_t images = 0;
  std::uint64_t compressed_images = 0;
};

TEST(WalReader, ReadsTheWalOfEachMajor) {
  for (const int major : sample_majors) {
    SCOPED_TRACE(major);
    const WalSample sample(major);
    auto reader = sample.reader();
    Collector collector;
    const auto fed = reader.feed(sample.bytes, collector);
    ASSERT_TRUE(fed) << fed.error().describe();
    EXPECT_EQ(reader.major_version(), major);
    EXPECT_EQ(reader.position(), sample.end());
    EXPECT_EQ(reader.valid_to(), sample.end());  // the last record is a switch
    EXPECT_FALSE(reader.ended());
    EXPECT_GT(collector.seen.size(), 2000U);
    EXPECT_GT(collector.compressed_images, 0U);
    EXPECT_EQ(collector.seen.back().start, sample.facts.lsn("end_lsn"));
    EXPECT_EQ(collector.seen.back().rmgr, Rmgr::xlog);
    EXPECT_EQ(collector.seen.back().info, 0x40);
    std::size_t largest = 0;
    for (const auto& record : collector.seen) largest = std::max(largest, record.size);
    EXPECT_GT(largest, 2'200'000U);  // over three segments
  }
}

TEST(WalReader, SeesTheRecordsThatPgWaldumpLists) {
  const WalSample sample(15);
  auto reader = sample.reader();
  Collector collector;
  ASSERT_TRUE(reader.feed(sample.bytes, collector));
  EXPECT_EQ(collector.seen.size(), sample.facts.number("waldump_records"));
  EXPECT_EQ(collector.seen.front().start, sample.facts.lsn("waldump_first_lsn"));
  EXPECT_EQ(collector.seen.back().start, sample.facts.lsn("waldump_last_lsn"));
  EXPECT_EQ(collector.images, sample.facts.number("waldump_full_page_images"));
  std::size_t rmgrs = 0;
  for (const auto* name : {"Btree", "Database", "Heap", "Heap2", "LogicalMessage", "Standby", "Storage",
                           "Transaction", "XLOG"}) {
    EXPECT_EQ(collector.by_rmgr[name], sample.facts.number(std::string("waldump_") + name)) << name;
    ++rmgrs;
  }
  EXPECT_EQ(collector.by_rmgr.size(), rmgrs);
}

TEST(WalReader, GivesTheSameInPiecesOfAnySize) {
  for (const int major : {13, 18}) {
    const WalSample sample(major);
    auto whole = sample.reader();
    Collector expected;
    ASSERT_TRUE(whole.feed(sample.bytes, expected));
    for (unsigned seed = 0; seed < 13; seed += sanitized ? 3 : 1) {
      SCOPED_TRACE(seed);
      std::mt19937 random(seed);
      std::uniform_int_distribution<std::size_t> piece(1, seed == 0 ? 8 : 1U << (seed + 7U));
      auto reader = sample.reader();
      Collector collector;
      for (ByteView left = sample.bytes; !left.empty();) {
        const auto count = std::min(piece(random), left.size());
        // A copy, so that reading beyond the piece is seen.
        ASSERT_TRUE(reader.feed(to_bytes(left.first(count)), collector));
        left = left.subspan(count);
      }
      EXPECT_EQ(collector.seen, expected.seen);
      EXPECT_EQ(reader.valid_to(), whole.valid_to());
    }
  }
}

TEST(WalReader, StartsAtAnyRecordAndAnyPage) {
  const WalSample sample(16);
  auto whole = sample.reader();
  Collector all;
  ASSERT_TRUE(whole.feed(sample.bytes, all));
  for (std::size_t i = 1; i < all.seen.size(); i += 97) {
    const Lsn start = all.seen[i].start;
    if (start.value % wal_page_size == 0) continue;
    auto reader = WalRecordReader::create(
        {.start = start, .segment_size_bytes = WalSample::segment_size_bytes, .major_version = 16});
    ASSERT_TRUE(reader);
    Collector collector;
    ASSERT_TRUE(reader->feed(ByteView(sample.bytes).subspan(start - sample.start), collector));
    EXPECT_TRUE(std::equal(collector.seen.begin(), collector.seen.end(),
                           all.seen.begin() + static_cast<std::ptrdiff_t>(i), all.seen.end()));
  }
  for (Lsn page = sample.start; page < sample.end(); page += 17 * wal_page_size) {
    auto reader =
        WalRecordReader::create({.start = page, .segment_size_bytes = WalSample::segment_size_bytes});
    Collector collector;
    const auto fed = reader->feed(ByteView(sample.bytes).subspan(page - sample.start), collector);
    if (!fed) {  // after the switch, pages hold nothing but a header
      ADD_FAILURE() << to_string(page) << fed.error().describe();
      continue;
    }
    if (reader->ended()) continue;
    ASSERT_FALSE(collector.seen.empty());
    EXPECT_TRUE(std::equal(collector.seen.begin(), collector.seen.end(),
                           all.seen.end() - static_cast<std::ptrdiff_t>(collector.seen.size()),
                           all.seen.end()));
  }
}

TEST(WalReader, HandsARecordOnWithItsLastByte) {
  const WalSample sample(17);
  auto whole = sample.reader();
  Collector all;
  ASSERT_TRUE(whole.feed(sample.bytes, all));
  auto reader = sample.reader();
  Collector collector;
  for (std::size_t i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(reader.feed(ByteView(sample.bytes).subspan(i, 1), collector));
    if (collector.seen.empty()) continue;
    const auto& last = collector.seen.back();
    const auto& next = all.seen[collector.seen.size()];
    EXPECT_EQ(last, all.seen[collector.seen.size() - 1]);
    // The next has not arrived: it lies within one page and more than what has been fed, or goes on.
    EXPECT_LT(reader.position(), next.end + 1);
    EXPECT_EQ(reader.valid_to(), last.end);
  }
}

TEST(WalReader, ZerosAreTheEnd) {
  const WalSample sample(14);
  auto whole = sample.reader();
  Collector all;
  ASSERT_TRUE(whole.feed(sample.bytes, all));
  for (const std::size_t count : {std::size_t{1}, std::size_t{300}, std::size_t{900}}) {
    Bytes cut = sample.bytes;
    const Lsn end = all.seen[count - 1].end;
    std::fill(cut.begin() + static_cast<std::ptrdiff_t>(end - sample.start), cut.end(), std::byte{0});
    auto reader = sample.reader();
    Collector collector;
    ASSERT_TRUE(reader.feed(cut, collector));
    EXPECT_TRUE(reader.ended());
    EXPECT_EQ(reader.valid_to(), end);
    EXPECT_EQ(collector.seen.size(), count);
  }
}

TEST(WalReader, FindsDamageAndSaysHowFarAllWasGood) {
  const WalSample sample(15);
  for (unsigned seed = 0; seed < (sanitized ? 60 : 300); ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Bytes bad = sample.bytes;
    const auto at = std::uniform_int_distribution<std::size_t>(0, 350'000)(random);
    bad[at] ^= std::byte{0x20};
    auto reader = sample.reader();
    Collector collector;
    const auto fed = reader.feed(bad, collector);
    // Padding, between records and in page headers, means nothing: there a changed byte is not seen.
    if (fed && !reader.ended()) continue;
    EXPECT_LE(reader.valid_to(), sample.start + at);
    EXPECT_EQ(reader.valid_to(), collector.seen.empty() ? sample.start : collector.seen.back().end);
    if (!fed) {
      EXPECT_EQ(fed.error().code(), ErrorCode::damaged);
    }
  }
}

TEST(WalReader, RefusesForeignWal) {
  const WalSample sample(15);
  Collector collector;
  auto other_system = *WalRecordReader::create({.start = sample.start,
                                                .segment_size_bytes = WalSample::segment_size_bytes,
                                                .system_identifier = SystemIdentifier{1}});
  EXPECT_FALSE(other_system.feed(sample.bytes, collector));
  auto other_size = *WalRecordReader::create({.start = sample.start, .segment_size_bytes = 16U << 20U});
  EXPECT_FALSE(other_size.feed(sample.bytes, collector));
  auto other_place =
      *WalRecordReader::create({.start = {0}, .segment_size_bytes = WalSample::segment_size_bytes});
  EXPECT_FALSE(other_place.feed(sample.bytes, collector));
  auto other_major = *WalRecordReader::create(
      {.start = sample.start, .segment_size_bytes = WalSample::segment_size_bytes, .major_version = 16});
  EXPECT_FALSE(other_major.feed(sample.bytes, collector));
  EXPECT_TRUE(collector.seen.empty());
}

TEST(WalReader, RefusesStartsThatCannotBe) {
  const std::uint32_t size = WalSample::segment_size_bytes;
  EXPECT_FALSE(WalRecordReader::create({.start = {0x100028}, .segment_size_bytes = size}));
  EXPECT_FALSE(
      WalRecordReader::create({.start = {0x100029}, .segment_size_bytes = size, .major_version = 15}));
  EXPECT_FALSE(
      WalRecordReader::create({.start = {0x100008}, .segment_size_bytes = size, .major_version = 15}));
  EXPECT_FALSE(WalRecordReader::create({.start = {0x100000}, .segment_size_bytes = 12345}));
  EXPECT_FALSE(
      WalRecordReader::create({.start = {0x100000}, .segment_size_bytes = size, .major_version = 12}));
}

TEST(WalReader, PassesOnTheHandlersError) {
  class Refuser final : public WalRecordHandler {
    Result<void> record(const WalRecord&) override { return fail(ErrorCode::cancelled, "enough"); }
  } refuser;
  const WalSample sample(15);
  auto reader = sample.reader();
  EXPECT_EQ(reader.feed(sample.bytes, refuser).error().code(), ErrorCode::cancelled);
}

// WAL made by hand, for what servers write only after a crash.
class WalWriter {
 public:
  static constexpr Lsn start{WalSample::segment_size_bytes};

  // Pads the page with records so that `left` bytes of it remain.
  void fill_page(std::size_t left) {
    begin_page_if_needed(0x0);
    const std::size_t room = wal_page_size - bytes.size() % wal_page_size;
    record(room - left);
  }
  void record(std::size_t size, std::uint8_t rmgr = 21, std::uint8_t info = 0, Bytes body = {}) {
    put(make_record(size, rmgr, info, std::move(body)));
  }
  Bytes make_record(std::size_t size, std::uint8_t rmgr, std::uint8_t info, Bytes body) {
    begin_page_if_needed(0x0);
    if (body.empty()) body = main_data(size - wal_record_header_size_bytes);
    ByteWriter writer;
    writer.u32(static_cast<std::uint32_t>(wal_record_header_size_bytes + body.size()));
    writer.u32(7);
    writer.u64(previous.value);
    writer.u8(info);
    writer.u8(rmgr);
    writer.u16(0);
    writer.u32(0);
    writer.bytes(body);
    Bytes made = writer.take();
    const std::uint32_t crc = compute_wal_record_crc(made);
    std::memcpy(made.data() + 20, &crc, sizeof crc);
    return made;
  }
  // Continues over pages as the server would.
  void put(ByteView made) {
    previous = {start.value + bytes.size()};
    while (!made.empty()) {
      begin_page_if_needed(static_cast<std::uint32_t>(made.size()));
      const std::size_t room = wal_page_size - bytes.size() % wal_page_size;
      const std::size_t count = std::min(room, made.size());
      append(bytes, made.first(count));
      made = made.subspan(count);
      if (made.empty()) break;
    }
    while (bytes.size() % 8 != 0) bytes.push_back(std::byte{0});
  }
  void begin_page(std::uint16_t flags, std::uint32_t remaining) {
    const bool is_long = bytes.size() % WalSample::segment_size_bytes == 0;
    ByteWriter writer;
    writer.u16(wal_page_magic(16));
    writer.u16(static_cast<std::uint16_t>(flags | (is_long ? 2U : 0U)));
    writer.u32(1);
    writer.u64(start.value + bytes.size());
    writer.u32(remaining);
    writer.u32(0);
    if (is_long) {
      writer.u64(42);
      writer.u32(WalSample::segment_size_bytes);
      writer.u32(wal_page_size);
    }
    append(bytes, writer.view());
  }
  void begin_page_if_needed(std::uint32_t remaining) {
    if (bytes.size() % wal_page_size == 0) begin_page(remaining != 0 ? 1 : 0, remaining);
  }

  Bytes bytes;
  Lsn previous;

 private:
  static Bytes main_data(std::size_t size) {
    ByteWriter writer;
    if (size >= 2 + 256) {
      writer.u8(254);
      writer.u32(static_cast<std::uint32_t>(size - 5));
      writer.bytes(Bytes(size - 5));
    } else if (size >= 2) {
      writer.u8(255);
      writer.u8(static_cast<std::uint8_t>(size - 2));
      writer.bytes(Bytes(size - 2));
    }
    return writer.take();
  }
};

Result<void> feed_all(const WalWriter& wal, Collector& collector, std::size_t piece = SIZE_MAX) {
  auto reader = *WalRecordReader::create(
      {.start = WalWriter::start, .segment_size_bytes = WalSample::segment_size_bytes});
  for (ByteView left = wal.bytes; !left.empty();) {
    const auto count = std::min(piece, left.size());
    PGS_CHECK(reader.feed(left.first(count), collector));
    left = left.subspan(count);
  }
  return {};
}

TEST(WalReader, DropsARecordThatACrashLeftUnfinished) {
  for (const std::size_t left : {8U, 16U, 24U, 40U}) {  // of the page, for the record that is lost
    for (const std::size_t piece : {std::size_t{1}, std::size_t{13}, SIZE_MAX}) {
      WalWriter wal;
      wal.record(100);
      wal.fill_page(left);
      const Bytes lost = wal.make_record(5000, 21, 0, {});
      append(wal.bytes, ByteView(lost).first(left));
      wal.begin_page(8, 0);  // overwrites the continuation
      wal.record(50);
      wal.record(60);
      Collector collector;
      const auto fed = feed_all(wal, collector, piece);
      ASSERT_TRUE(fed) << fed.error().describe();
      ASSERT_EQ(collector.seen.size(), 4U);
      EXPECT_EQ(collector.seen[2].size, 50U);
      EXPECT_EQ(collector.seen[2].start, WalWriter::start + wal_page_size + wal_page_header_size_bytes);
    }
  }
}

TEST(WalReader, RefusesAPageThatDoesNotContinueTheRecord) {
  for (const std::uint16_t flags : {std::uint16_t{0}, std::uint16_t{1}}) {
    WalWriter wal;
    wal.fill_page(64);
    const Bytes torn = wal.make_record(5000, 21, 0, {});
    append(wal.bytes, ByteView(torn).first(64));
    wal.begin_page(flags, flags == 0 ? 0 : 4000);
    wal.record(50);
    Collector collector;
    EXPECT_FALSE(feed_all(wal, collector));
    EXPECT_EQ(collector.seen.size(), 1U);
  }
}

TEST(WalReader, SwitchSkipsToTheNextSegmentEvenFromItsVeryEnd) {
  for (const std::size_t left : {std::size_t{24}, std::size_t{64}, std::size_t{8}}) {
    WalWriter wal;
    while (wal.bytes.size() / wal_page_size < 127) wal.fill_page(0);
    wal.fill_page(left);
    wal.put(wal.make_record(24, 0, 0x40, {}));
    const std::size_t segments = left == 8 ? 2 : 1;  // with 8 left the switch record ends in the next segment
    while (wal.bytes.size() < segments * WalSample::segment_size_bytes) {
      if (wal.bytes.size() % wal_page_size == 0) wal.begin_page(0, 0);
      wal.bytes.push_back(std::byte{0});
    }
    wal.record(50);
    Collector collector;
    const auto fed = feed_all(wal, collector);
    ASSERT_TRUE(fed) << left << fed.error().describe();
    ASSERT_GT(collector.seen.size(), 2U);
    const auto& record = *(collector.seen.end() - 2);
    EXPECT_EQ(record.info, 0x40);
    EXPECT_EQ(record.end, WalWriter::start + segments * WalSample::segment_size_bytes);
    EXPECT_EQ(collector.seen.back().size, 50U);
  }
}

TEST(WalReader, RefusesALengthBeyondTheLimitWithoutAllocating) {
  WalWriter wal;
  wal.begin_page_if_needed(0);
  ByteWriter writer;
  writer.u32(wal_record_limit_bytes + 1);
  writer.bytes(Bytes(20));
  append(wal.bytes, writer.view());
  Collector collector;
  EXPECT_EQ(feed_all(wal, collector).error().code(), ErrorCode::damaged);
}

}  // namespace
}  // namespace pgstrata
