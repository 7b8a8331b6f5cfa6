// Real WAL through a WalSink, as the tests of the sink and of its crashes feed it. Only tests include this.
#pragma once

#include <random>

#include "capture/wal_sink.h"
#include "catalog/wal_reader.h"
#include "pg/format/wal_samples_for_test.h"
#include "repo/test_store.h"

namespace pgstrata {

inline constexpr TimelineId first_timeline{1};

// Four segments of 1 MiB, records across their borders, one longer than a segment.
inline const WalSample& wal_sample() {
  static const WalSample sample(15);
  return sample;
}

class WalSinkTest : public ::testing::Test {
 protected:
  [[nodiscard]] ClusterSpace space_over(ObjectStore& store) const { return {store, "app", fixed_key(1)}; }

  [[nodiscard]] WalSinkOptions options(const ClusterSpace& space, int threads) const {
    return {.space = space,
            .segment_bytes = WalSample::segment_size_bytes,
            .server_major = wal_sample().major,
            .system_identifier = {},
            .clock = clock_,
            .still_allowed = [] { return Result<void>(); },
            .sealing_threads = threads};
  }

  // As the receiver goes on from what the repository holds.
  Result<std::unique_ptr<WalSink>> open(const ClusterSpace& space, int threads = 0) const {
    PGS_TRY(const auto inventory, WalInventory::load(space, WalSample::segment_size_bytes));
    PGS_CHECK(remove_obsolete_tails(space, inventory));
    PGS_TRY(auto resume, find_wal_resume(space, inventory, first_timeline, {}));
    if (!resume) {
      PGS_TRY(resume, begin_wal_at(space, inventory, first_timeline, wal_sample().start));
    }
    PGS_TRY(auto sink, WalSink::open(options(space, threads), *resume));
    PGS_TRY(const bool all, sink->finish(std::nullopt));
    EXPECT_TRUE(all);
    return sink;
  }

  static ByteView sample_bytes(Lsn from, Lsn to) {
    return ByteView(wal_sample().bytes).subspan(from - wal_sample().start, to - from);
  }

  // Feeds what comes next up to `to`, in pieces and with flushes that `random` decides. `durable` follows.
  Result<void> feed(WalSink& sink, Lsn to, std::mt19937_64& random, Lsn& durable) const {
    while (sink.received() < to) {
      const auto in_segment =
          WalSample::segment_size_bytes - sink.received().value % WalSample::segment_size_bytes;
      const auto count =
          std::min({std::uint64_t{1} + random() % 131'072, to - sink.received(), std::uint64_t{in_segment}});
      PGS_CHECK(sink.accept(sink.received(), sample_bytes(sink.received(), sink.received() + count)));
      if (random() % 4 == 0) {
        std::optional<WalMark> mark;
        if (random() % 2 == 0)
          mark = WalMark{sink.received(), {static_cast<std::int64_t>(sink.received().value)}};
        PGS_CHECK(sink.flush(mark));
      }
      PGS_CHECK(sink.poll());
      durable = std::max(durable, sink.durable());
    }
    PGS_TRY(const bool all, sink.finish(std::nullopt));
    EXPECT_TRUE(all);
    durable = std::max(durable, sink.durable());
    return {};
  }

  // All the repository has, from the sample's start.
  static Result<Bytes> stored_wal(const ClusterSpace& space) {
    PGS_TRY(const auto inventory, WalInventory::load(space, WalSample::segment_size_bytes));
    Bytes found;
    PGS_CHECK(read_wal(space, inventory, first_timeline, wal_sample().start, wal_sample().end(),
                       [&](Lsn, ByteView bytes) -> Result<bool> {
                         append(found, bytes);
                         return true;
                       }));
    return found;
  }

  // Everything up to `durable` is there, and what is there is right.
  static void expect_stored(const ClusterSpace& space, Lsn durable, const std::string& when) {
    const auto found = stored_wal(space);
    ASSERT_TRUE(found) << when << ": " << found.error().describe();
    EXPECT_GE(wal_sample().start + found->size(), durable) << when;
    EXPECT_TRUE(std::ranges::equal(*found, ByteView(wal_sample().bytes).first(found->size()))) << when;
  }

  // All segments sealed, nothing else left, bytes and indexes as of a run without any interruption.
  static void expect_complete(const ClusterSpace& space, const std::string& when) {
    expect_stored(space, wal_sample().end(), when);
    const auto inventory = WalInventory::load(space, WalSample::segment_size_bytes);
    ASSERT_TRUE(inventory) << when;
    const auto indexes = index_sample(wal_sample(), [] { return std::size_t{100'000}; });
    ASSERT_TRUE(indexes);
    Lsn start = wal_sample().start;
    Timestamp latest;
    for (const auto& index : *indexes) {
      const auto* segment = inventory->find(first_timeline, start);
      ASSERT_NE(segment, nullptr) << when << " at " << to_string(start);
      ASSERT_FALSE(segment->sealed.empty()) << when << " at " << to_string(start);
      EXPECT_TRUE(segment->tails.empty()) << when << " at " << to_string(start);
      auto reader = WalSegmentReader::open(space, segment->sealed);
      ASSERT_TRUE(reader) << when;
      const auto summary = reader->summary();
      ASSERT_TRUE(summary) << when;
      latest = std::max(latest, index.last_end_time);
      EXPECT_EQ(summary->index, index) << when << " at " << to_string(start);
      EXPECT_EQ(summary->latest_transaction_end, latest) << when << " at " << to_string(start);
      start += WalSample::segment_size_bytes;
    }
  }

  MemoryStore store_;
  HeldClock clock_;
};

}  // namespace pgstrata
