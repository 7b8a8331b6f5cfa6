#include "capture/wal_segment_pipeline.h"

#include <condition_variable>
#include <random>

#include "catalog/wal_inventory.h"
#include "pg/format/wal_name.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t segment_bytes = 1U << 20;

// Notes the order in which objects become visible, and holds one of them back until another has been, or for
// a while.
class OrderingStore : public BorrowedStore {
 public:
  OrderingStore(ObjectStore& store, std::string held) : BorrowedStore(store), held_(std::move(held)) {}

  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override {
    PGS_TRY(auto writer, BorrowedStore::create(name));
    return std::make_unique<Writer>(*this, std::string(name), std::move(writer));
  }
  [[nodiscard]] std::vector<std::string> order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  class Writer : public ObjectWriter {
   public:
    Writer(OrderingStore& store, std::string name, std::unique_ptr<ObjectWriter> beneath)
        : store_(store), name_(std::move(name)), beneath_(std::move(beneath)) {}
    Result<void> write(ByteView bytes) override { return beneath_->write(bytes); }
    Result<void> commit() override {
      std::unique_lock lock(store_.mutex_);
      if (name_ == store_.held_) {
        store_.committed_.wait_for(lock, std::chrono::milliseconds(200),
                                   [this] { return !store_.order_.empty(); });
      }
      store_.order_.push_back(name_);
      store_.committed_.notify_all();
      return beneath_->commit();
    }

   private:
    OrderingStore& store_;
    std::string name_;
    std::unique_ptr<ObjectWriter> beneath_;
  };

  const std::string held_;
  std::mutex mutex_;
  std::condition_variable committed_;
  std::vector<std::string> order_;  // guarded by mutex_
};

TEST(WalSegmentPipelineTest, ASegmentIsNeverVisibleBeforeTheOnesBeforeIt) {
  MemoryStore memory;
  const ClusterSpace names(memory, "app", fixed_key(1));
  const auto name = [&](Lsn start) { return names.object_name(wal_object_name({1}, start, segment_bytes)); };
  OrderingStore store(memory, name({segment_bytes}));
  HeldClock clock;
  WalSegmentPipeline pipeline({.space = {store, "app", fixed_key(1)},
                               .segment_bytes = segment_bytes,
                               .clock = clock,
                               .still_allowed = [] { return Result<void>(); }});
  WalPieces pieces(3);
  std::vector<std::string> expected;
  for (std::uint64_t number = 1; number <= 3; ++number) {
    WalSegmentSummary summary;
    summary.timeline = {1};
    summary.start_lsn = {number * segment_bytes};
    summary.end_lsn = summary.start_lsn + segment_bytes;
    pipeline.begin({1}, summary.start_lsn);
    auto piece = pieces.take();
    piece->append(Bytes(segment_bytes));
    pipeline.append(std::move(piece));
    expected.push_back(name(summary.start_lsn));
    pipeline.finish(std::move(summary), {});
  }
  const auto done = pipeline.wait_committed(std::nullopt);
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_EQ(store.order(), expected);
  EXPECT_EQ(*pipeline.take_committed(), 3U);
}

TEST(WalSegmentPipelineTest, AnErrorEndsTheWorkAndGivesTheMemoryBack) {
  MemoryStore memory;
  HeldClock clock;
  WalSegmentPipeline pipeline(
      {.space = {memory, "app", fixed_key(1)},
       .segment_bytes = segment_bytes,
       .clock = clock,
       .still_allowed = []() -> Result<void> { return fail(ErrorCode::busy, "taken over"); }});
  WalPieces pieces(1);
  for (std::uint64_t number = 1; number <= 3; ++number) {
    pipeline.begin({1}, {number * segment_bytes});
    auto piece = pieces.take();  // waits until the one before is given back
    piece->append(Bytes(segment_bytes));
    pipeline.append(std::move(piece));
    WalSegmentSummary summary;
    summary.start_lsn = {number * segment_bytes};
    summary.end_lsn = summary.start_lsn + segment_bytes;
    pipeline.finish(std::move(summary), {});
  }
  EXPECT_EQ(code_of(pipeline.wait_committed(std::nullopt)), "busy");
  EXPECT_EQ(code_of(pipeline.take_committed()), "busy");
  EXPECT_TRUE((*memory.list_all("")).empty());
}

// Words of a small vocabulary, in no order.
Bytes words(std::size_t size) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < size) text += fmt::format("{:x} ", random() % 5000 * 7919);
  text.resize(size);
  return to_bytes(text);
}

TEST(WalSegmentPipelineTest, WhatComesSlowlyTakesLessRoom) {
  MemoryStore memory;
  HeldClock clock;
  const ClusterSpace space(memory, "app", fixed_key(1));
  WalSegmentPipeline pipeline({.space = space,
                               .segment_bytes = segment_bytes,
                               .clock = clock,
                               .still_allowed = [] { return Result<void>(); },
                               .threads = 0});
  WalPieces pieces(1);
  const auto content = words(segment_bytes / 8);
  std::uint64_t number = 0;
  const auto stored_size = [&] {
    const Lsn start{++number * segment_bytes};
    pipeline.begin({1}, start);
    auto piece = pieces.take();
    piece->append(content);
    pipeline.append(std::move(piece));
    WalSegmentSummary summary;
    summary.timeline = {1};
    summary.start_lsn = start;
    summary.end_lsn = start + content.size();
    pipeline.finish(std::move(summary), {});
    return memory.list_all(space.object_name(wal_object_name({1}, start, segment_bytes)))->at(0).size_bytes;
  };
  const auto at_once = stored_size();
  const auto well = [&] { return stored_size() < at_once - at_once / 20; };
  EXPECT_FALSE(well());
  clock.pass(std::chrono::seconds(2));
  EXPECT_TRUE(well());
  EXPECT_TRUE(well());
  EXPECT_FALSE(well()) << "both seconds are used up";
  clock.pass(std::chrono::hours(-1));
  EXPECT_FALSE(well());
  clock.pass(std::chrono::hours(1));
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(well());
  EXPECT_FALSE(well()) << "no more is saved up";
}

}  // namespace
}  // namespace pgstrata
