#include "capture/wal_sink_test.h"

#include "base/sanitized.h"
#include "catalog/wal_run.h"

namespace pgstrata {
namespace {

TEST_F(WalSinkTest, SealsAndIndexesEachSegmentAndLeavesNoTails) {
  const auto receive_all = [this](ObjectStore& store, int threads) {
    const auto space = space_over(store);
    auto sink = open(space, threads);
    ASSERT_TRUE(sink) << sink.error().describe();
    std::mt19937_64 random(7);
    Lsn durable;
    ASSERT_EQ(message_of(feed(**sink, wal_sample().end(), random, durable)), "ok");
    EXPECT_EQ(durable, wal_sample().end());
    sink->reset();  // a segment is committed before its tails are removed
    expect_complete(space, fmt::format("{} threads", threads));
  };
  for (const int threads : {0, 2}) {
    MemoryStore store;
    receive_all(store, threads);
    StoreWithoutJournals without_journals;
    receive_all(without_journals, threads);
  }
}

TEST_F(WalSinkTest, BytesAreDurableOnlyAfterAFlush) {
  const auto space = space_over(store_);
  auto sink = *open(space);
  const Lsn start = wal_sample().start;
  const Lsn middle = start + 300'001;
  ASSERT_TRUE(sink->accept(start, sample_bytes(start, middle)));
  EXPECT_EQ(sink->durable(), start);
  EXPECT_TRUE(sink->has_unflushed());
  EXPECT_TRUE(stored_wal(space)->empty());
  ASSERT_TRUE(sink->flush(std::nullopt));
  EXPECT_EQ(sink->durable(), middle);
  EXPECT_FALSE(sink->has_unflushed());
  expect_stored(space, middle, "after the flush");
}

TEST_F(WalSinkTest, RefusesBytesThatDoNotFollow) {
  const auto space = space_over(store_);
  auto sink = *open(space);
  EXPECT_EQ(code_of(sink->accept(wal_sample().start + 8, Bytes(8))), "failed");
}

TEST_F(WalSinkTest, AMarkNeedsNoBytes) {
  const auto space = space_over(store_);
  const WalMark mark{wal_sample().start, {1'795'255'200'000'000}};
  ASSERT_TRUE((*open(space))->flush(mark));
  const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  const auto segment = read_wal_segment(space, inventory, first_timeline, wal_sample().start);
  ASSERT_TRUE(segment) << segment.error().describe();
  EXPECT_TRUE(segment->bytes.empty());
  EXPECT_EQ(segment->mark.lsn, mark.lsn);
  EXPECT_EQ(segment->mark.time, mark.time);
  auto resumed = open(space);
  ASSERT_TRUE(resumed);
  EXPECT_EQ((*resumed)->received(), wal_sample().start);
}

TEST_F(WalSinkTest, AYearOfSilenceTakesNoMoreRoomThanAFewHours) {
  const auto space = space_over(store_);
  auto sink = *open(space);
  const Lsn start = wal_sample().start;
  Lsn received = start;
  Timestamp time{1'795'255'200'000'000};
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(sink->accept(received, sample_bytes(received, received + 5000)));
    received += 5000;
    for (std::size_t i = 0; i < 3 * WalSink::marks_per_tail; ++i) {
      time = time + std::chrono::seconds(10);
      ASSERT_TRUE(sink->flush(WalMark{received, time}));
    }
  }
  const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  const auto& tails = inventory.find(first_timeline, start)->tails;
  EXPECT_EQ(tails.size(), 3U) << "one for each of the two that have bytes, and the newest";
  for (const auto& tail : tails) EXPECT_LT(tail.size_bytes, 5000 + (WalSink::marks_per_tail + 10) * 64);
  EXPECT_EQ(read_wal_tail(space, tails.back().name)->marks.size(), 1U);
  const auto segment = read_wal_segment(space, inventory, first_timeline, start);
  ASSERT_TRUE(segment) << segment.error().describe();
  EXPECT_EQ(segment->mark.time, time);
  expect_stored(space, received, "after the silence");
  std::mt19937_64 random(7);
  Lsn durable;
  ASSERT_TRUE(feed(*sink, wal_sample().end(), random, durable));
  expect_complete(space, "after the silence");
}

// What a tail promised still holds when its segment is sealed, whoever goes on after it.
TEST_F(WalSinkTest, NoMarkIsTakenBack) {
  const auto space = space_over(store_);
  const Lsn start = wal_sample().start;
  const auto complete_until = [&] {
    const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
    const auto runs = wal_runs(inventory, {{first_timeline, {}, no_end}});
    return examine_run_end(space, inventory, runs.back())->complete_until;
  };
  const auto end_of = [&](std::uint64_t number) { return start + number * WalSample::segment_size_bytes; };
  const Timestamp promised{1'795'255'200'000'000};
  const auto receive = [&](WalSink& sink, Lsn to, Timestamp sent) {
    while (sink.received() < to) {
      const Lsn next = std::min(to, sink.received() + 500'000);
      ASSERT_EQ(message_of(sink.accept(sink.received(), sample_bytes(sink.received(), next), sent)), "ok");
    }
    ASSERT_EQ(message_of(sink.finish(std::nullopt)), "ok");
  };
  const auto later = promised + std::chrono::hours(1);
  {
    auto sink = *open(space);
    receive(*sink, start + 5000, later);
    ASSERT_TRUE(sink->flush(WalMark{start + 5000, promised}));
    receive(*sink, end_of(1), later);
    EXPECT_EQ(complete_until(), promised) << "sealed";
    receive(*sink, end_of(1) + 5000, later);
    EXPECT_EQ(complete_until(), promised) << "the next tail has no mark yet";
  }
  {
    auto sink = *open(space);
    receive(*sink, end_of(2), later);
    EXPECT_EQ(complete_until(), promised) << "by another receiver";
    receive(*sink, end_of(2) + 5000, later);
    ASSERT_TRUE(sink->flush(WalMark{end_of(2) + 5000, promised + std::chrono::seconds(7)}));
  }
  // The clock by which that mark was made has stepped back.
  const auto earlier = promised + std::chrono::seconds(5);
  auto sink = *open(space);
  receive(*sink, end_of(3), earlier);
  EXPECT_EQ(complete_until(), earlier - std::chrono::seconds(1)) << "as a mark made then would say";
}

TEST_F(WalSinkTest, NorWhenItsTimelineEnds) {
  const auto space = space_over(store_);
  const Lsn start = wal_sample().start;
  const Timestamp sent{1'795'255'200'000'000};
  const auto promised = sent + std::chrono::hours(1);  // the source has been idle since
  for (int round = 0; round < 3; ++round) {            // what follows the end may fail, and it ends again
    auto sink = *open(space);
    if (round == 0) {
      ASSERT_TRUE(sink->accept(start, sample_bytes(start, start + 5000), sent));
      ASSERT_TRUE(sink->flush(WalMark{start + 5000, promised}));
    }
    ASSERT_EQ(message_of(sink->end_timeline()), "ok");
    const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
    const auto* last = inventory.find(first_timeline, start);
    ASSERT_NE(last, nullptr);
    EXPECT_EQ(WalSegmentReader::open(space, last->partial)->summary()->complete_until, promised) << round;
  }
}

TEST_F(WalSinkTest, GoesOnAnywhereInASegmentAsIfNothingHadHappened) {
  for (std::uint64_t seed = 1; seed <= (sanitized ? 2U : 6U); ++seed) {
    MemoryStore store;
    const auto space = space_over(store);
    std::mt19937_64 random(seed);
    Lsn durable = wal_sample().start;
    for (int restarts = 0; durable < wal_sample().end(); ++restarts) {
      auto sink = open(space, restarts % 2 == 0 ? 0 : 2);
      ASSERT_TRUE(sink) << sink.error().describe();
      EXPECT_EQ((*sink)->received(), durable) << "seed " << seed;
      EXPECT_EQ((*sink)->durable(), durable) << "seed " << seed;
      const auto to = std::min(durable + 1 + random() % 900'000, wal_sample().end());
      ASSERT_TRUE(feed(**sink, to, random, durable));
    }
    expect_complete(space, fmt::format("seed {}", seed));
  }
}

// Whoever can write to the repository can make up names. What is behind us is where the WAL is that can be
// read.
TEST_F(WalSinkTest, NamesWithoutWalMoveNobody) {
  const auto space = space_over(store_);
  const Lsn start = wal_sample().start;
  const auto segment_at = [&](std::uint64_t number) {
    return start + number * WalSample::segment_size_bytes;
  };
  const auto name_of = [&](std::uint64_t number, std::string_view suffix) {
    return space.object_name(
               wal_object_name(first_timeline, segment_at(number), WalSample::segment_size_bytes)) +
           std::string(suffix);
  };
  const Lsn end = segment_at(1) + 400'000;
  std::mt19937_64 random(1);
  Lsn durable;
  ASSERT_TRUE(feed(**open(space), end, random, durable));
  const auto before = *WalInventory::load(space, WalSample::segment_size_bytes);
  const Bytes tail =
      *store_.get(space.object_name(before.find(first_timeline, segment_at(1))->tails.front().name));
  constexpr std::string_view forged_tail = ".00000000-00000000.tail";
  ASSERT_TRUE(store_.put(name_of(2, forged_tail), ByteView(tail).first(28)));
  ASSERT_TRUE(store_.put(name_of(3, ""), as_byte_view("x")));
  ASSERT_TRUE(store_.put(name_of(1'000'000, forged_tail), ByteView(tail).first(28)));
  EXPECT_EQ((*open(space))->received(), end);
  // Nor is a tail given up for a segment that is none.
  ASSERT_TRUE(store_.put(name_of(1, ""), as_byte_view("x")));
  auto sink = open(space);
  ASSERT_TRUE(sink) << sink.error().describe();
  EXPECT_EQ((*sink)->received(), end);
  ASSERT_EQ(message_of(feed(**sink, wal_sample().end(), random, durable)), "ok");
  sink->reset();
  expect_stored(space, wal_sample().end(), "in spite of them");
}

TEST_F(WalSinkTest, DamageToTheSegmentBeforeIsKnownToWhoeverGoesOn) {
  const auto space = space_over(store_);
  const Lsn start = wal_sample().start;
  std::mt19937_64 random(1);
  Lsn durable;
  ASSERT_TRUE(feed(**open(space), start + WalSample::segment_size_bytes + 400'000, random, durable));
  const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  EXPECT_FALSE((*find_wal_resume(space, inventory, first_timeline, {}))->damaged);
  const auto name = space.object_name(inventory.find(first_timeline, start)->sealed);
  Bytes changed = *store_.get(name);
  changed[changed.size() - 3] ^= std::byte{1};
  overwrite(store_, name, changed);
  EXPECT_EQ((*find_wal_resume(space, inventory, first_timeline, {}))->damaged, start);
}

// Else a receiver that dies again and again fills the disk.
TEST_F(WalSinkTest, ARestartLeavesOneCopyOfTheSegmentsBeginningAndTheLastMark) {
  MemoryStore store;
  const auto space = space_over(store);
  const Lsn start = wal_sample().start;
  const WalMark mark{start + 5000, {1'000'000}};
  {
    auto sink = *open(space);
    ASSERT_TRUE(sink->accept(start, ByteView(wal_sample().bytes).first(5000)));
    ASSERT_TRUE(sink->flush(mark));
  }
  for (int restart = 0; restart < 3; ++restart) {
    auto sink = open(space);
    ASSERT_TRUE(sink) << sink.error().describe();
    EXPECT_EQ((*sink)->durable(), start + 5000);
    const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
    EXPECT_EQ(inventory.find(first_timeline, start)->tails.size(), 1U);
    const auto segment = read_wal_segment(space, inventory, first_timeline, start);
    ASSERT_TRUE(segment);
    EXPECT_EQ(segment->bytes.size(), 5000U);
    EXPECT_EQ(segment->mark.time, mark.time);
  }
}

// What bears a segment's name and is none must not pass for it: what is confirmed would be gone.
TEST_F(WalSinkTest, JunkUnderASegmentsNameMakesRoomForTheSegment) {
  for (const std::string_view junk : {"", "junk"}) {
    MemoryStore store;
    const auto space = space_over(store);
    std::mt19937_64 random(1);
    auto sink = *open(space);
    const auto name = wal_object_name(first_timeline, wal_sample().start + WalSample::segment_size_bytes,
                                      WalSample::segment_size_bytes);
    ASSERT_TRUE(store.put(space.object_name(name), as_byte_view(junk)));
    Lsn durable = wal_sample().start;
    ASSERT_TRUE(feed(*sink, wal_sample().end(), random, durable));
    expect_complete(space, "junk");
  }
}

TEST_F(WalSinkTest, OtherWalUnderASegmentsNameIsAnError) {
  MemoryStore store;
  const auto space = space_over(store);
  const auto segment_bytes = WalSample::segment_size_bytes;
  const auto store_segment = [&](std::byte filling) {
    auto writer = *WalSegmentWriter::create(space, first_timeline, wal_sample().start, segment_bytes,
                                            system_clock(), 1);
    EXPECT_TRUE(writer.append(Bytes(segment_bytes, filling)));
    WalSegmentSummary summary;
    summary.timeline = first_timeline;
    summary.start_lsn = wal_sample().start;
    summary.end_lsn = wal_sample().start + segment_bytes;
    return writer.commit(summary);
  };
  EXPECT_TRUE(store_segment(std::byte{1}));
  EXPECT_TRUE(store_segment(std::byte{1}));
  const auto other = store_segment(std::byte{2});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), ErrorCode::already_exists);
}

TEST_F(WalSinkTest, AnEndedTimelineKeepsItsLastSegmentAsPartial) {
  const auto space = space_over(store_);
  std::mt19937_64 random(1);
  const Lsn end = wal_sample().start + WalSample::segment_size_bytes + 500'000;
  for (int round = 0; round < 2; ++round) {  // a crash may let it happen twice
    auto sink = *open(space);
    Lsn durable;
    ASSERT_TRUE(feed(*sink, end, random, durable));
    ASSERT_EQ(message_of(sink->end_timeline()), "ok");
    const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
    const auto* last = inventory.find(first_timeline, wal_sample().start + WalSample::segment_size_bytes);
    ASSERT_NE(last, nullptr);
    EXPECT_FALSE(last->partial.empty());
    EXPECT_TRUE(last->sealed.empty());
    EXPECT_TRUE(last->tails.empty());
    EXPECT_EQ(WalSegmentReader::open(space, last->partial)->summary()->end_lsn, end);
    expect_stored(space, end, "after the timeline's end");
  }
}

// The new primary has left the timeline before the damage: nobody can make up for it, and nobody needs to.
TEST_F(WalSinkTest, DamageBehindTheEndOfATimelineKeepsNobodyFromEndingIt) {
  const auto space = space_over(store_);
  const Lsn start = wal_sample().start;
  const Lsn end = start + 300'000;
  {
    auto sink = *open(space);
    for (Lsn at = start; at < start + 900'000; at += 100'000) {
      ASSERT_TRUE(sink->accept(at, sample_bytes(at, at + 100'000)));
      ASSERT_TRUE(sink->flush(std::nullopt));
    }
    ASSERT_TRUE(*sink->finish(std::nullopt));
  }
  const auto before = *WalInventory::load(space, WalSample::segment_size_bytes);
  const auto name = space.object_name(before.find(first_timeline, start)->tails.front().name);
  Bytes damaged = *store_.get(name);
  damaged[damaged.size() * 2 / 3] ^= std::byte{1};
  overwrite(store_, name, damaged);

  auto sink = *open(space);
  ASSERT_EQ(sink->received(), start);
  ASSERT_TRUE(sink->accept(start, sample_bytes(start, end)));
  ASSERT_EQ(message_of(sink->end_timeline()), "ok");
  const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  EXPECT_TRUE(inventory.find(first_timeline, start)->tails.empty());
  const auto kept = read_wal_segment(space, inventory, first_timeline, start);
  ASSERT_TRUE(kept) << kept.error().describe();
  EXPECT_GT(kept->bytes.size(), 500'000U) << "also what the old primary wrote up to the damage";
  EXPECT_TRUE(std::ranges::equal(kept->bytes, ByteView(wal_sample().bytes).first(kept->bytes.size())));
}

TEST_F(WalSinkTest, NothingIsPublishedOnceTheLeaseIsLost) {
  const auto space = space_over(store_);
  const auto resume = *begin_wal_at(space, *WalInventory::load(space, WalSample::segment_size_bytes),
                                    first_timeline, wal_sample().start);
  bool allowed = true;
  auto with_lease = options(space, 0);
  with_lease.still_allowed = [&]() -> Result<void> {
    if (allowed) return {};
    return fail(ErrorCode::busy, "taken over");
  };
  auto sink = *WalSink::open(with_lease, resume);
  ASSERT_TRUE(sink->accept(wal_sample().start, sample_bytes(wal_sample().start, wal_sample().start + 1000)));
  ASSERT_TRUE(sink->flush(std::nullopt));
  allowed = false;
  clock_.pass(std::chrono::seconds(1));
  const Lsn more = wal_sample().start + 2000;
  ASSERT_TRUE(sink->accept(sink->received(), sample_bytes(sink->received(), more)));
  EXPECT_EQ(code_of(sink->flush(std::nullopt)), "busy");
  const Lsn end = wal_sample().start + WalSample::segment_size_bytes;
  ASSERT_TRUE(sink->accept(more, sample_bytes(more, end)));
  EXPECT_EQ(code_of(sink->poll()), "busy");
  EXPECT_EQ(stored_wal(space)->size(), 1000U);
}

// A store whose journals take their time to become durable.
class SlowToSync : public BorrowedStore {
 public:
  SlowToSync(ObjectStore& store, std::function<void()> meanwhile)
      : BorrowedStore(store), meanwhile_(std::move(meanwhile)) {}
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override {
    PGS_TRY(auto journal, BorrowedStore::create_journal(name));
    return std::make_unique<Journal>(std::move(journal), meanwhile_);
  }

 private:
  class Journal : public ObjectJournal {
   public:
    Journal(std::unique_ptr<ObjectJournal> beneath, const std::function<void()>& meanwhile)
        : beneath_(std::move(beneath)), meanwhile_(meanwhile) {}
    Result<void> append(ByteView bytes) override { return beneath_->append(bytes); }
    Result<void> sync() override {
      meanwhile_();
      return beneath_->sync();
    }

   private:
    std::unique_ptr<ObjectJournal> beneath_;
    const std::function<void()>& meanwhile_;
  };
  const std::function<void()> meanwhile_;
};

// Who has it now may have read the tail before those bytes were in it, and removes it.
TEST_F(WalSinkTest, NothingIsConfirmedThatBecameDurableAfterTheLeaseWasLost) {
  bool allowed = true;
  bool stalls = false;
  SlowToSync slow(store_, [&] {
    if (!stalls) return;
    clock_.pass(std::chrono::seconds(60));
    allowed = false;
  });
  const auto space = space_over(slow);
  const auto resume = *begin_wal_at(space, *WalInventory::load(space, WalSample::segment_size_bytes),
                                    first_timeline, wal_sample().start);
  auto with_lease = options(space, 0);
  with_lease.still_allowed = [&]() -> Result<void> {
    if (allowed) return {};
    return fail(ErrorCode::busy, "taken over");
  };
  auto sink = *WalSink::open(with_lease, resume);
  const Lsn first = wal_sample().start + 1000;
  ASSERT_TRUE(sink->accept(wal_sample().start, sample_bytes(wal_sample().start, first)));
  ASSERT_TRUE(sink->flush(std::nullopt));
  EXPECT_EQ(sink->durable(), first);
  stalls = true;
  ASSERT_TRUE(sink->accept(first, sample_bytes(first, first + 1000)));
  EXPECT_EQ(code_of(sink->flush(std::nullopt)), "busy");
  EXPECT_EQ(sink->durable(), first);
}

// Whoever ends well leaves proof that all of the tail was there.
TEST_F(WalSinkTest, DamageToAnyFrameOfATailThatWasFinishedIsSeen) {
  const auto space = space_over(store_);
  const Lsn start = wal_sample().start;
  {
    auto sink = *open(space);
    ASSERT_TRUE(sink->accept(start, sample_bytes(start, start + 900'000)));
    ASSERT_TRUE(*sink->finish(std::nullopt));
  }
  expect_stored(space, start + 900'000, "whole");
  const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  const auto name = inventory.find(first_timeline, start)->tails.front().name;
  const Bytes whole = *store_.get(space.object_name(name));
  ASSERT_FALSE(read_wal_tail(space, name)->damage);
  for (const std::size_t at :
       {std::size_t{30}, std::size_t{50}, std::size_t{450'000}, std::size_t{880'000}}) {
    Bytes changed = whole;
    changed[at] ^= std::byte{1};
    overwrite(store_, space.object_name(name), changed);
    EXPECT_TRUE(read_wal_tail(space, name)->damage) << at;
  }
}

TEST_F(WalSinkTest, ADamagedTailIsAskedForAgain) {
  const auto space = space_over(store_);
  Lsn durable;
  std::mt19937_64 random(3);
  const Lsn second_segment = wal_sample().start + WalSample::segment_size_bytes;
  ASSERT_TRUE(feed(**open(space), second_segment + 400'000, random, durable));
  auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  const auto tails = inventory.find(first_timeline, second_segment)->tails;
  ASSERT_FALSE(tails.empty());
  for (const auto& tail : tails) {
    const auto name = space.object_name(tail.name);
    auto content = *store_.get(name);
    content[content.size() / 3] ^= std::byte{1};
    overwrite(store_, name, content);
  }
  auto sink = open(space);
  ASSERT_TRUE(sink) << sink.error().describe();
  EXPECT_EQ((*sink)->received(), second_segment);
  ASSERT_TRUE(feed(**sink, wal_sample().end(), random, durable));
  expect_complete(space, "after the damage");
}

TEST_F(WalSinkTest, AnUnsealedSegmentOfAnySizeHoldsNoMoreMemoryThanAllowed) {
  const auto space = space_over(store_);
  auto large = options(space, 0);
  large.segment_bytes = 64U << 20;
  WalResume resume;
  resume.timeline = first_timeline;
  resume.segment_start = {std::uint64_t{64} << 20};
  auto sink = *WalSink::open(large, resume);
  const Bytes chunk(1U << 17, std::byte{0x5A});
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(sink->accept(sink->received(), chunk));
  const auto inventory = *WalInventory::load(space, large.segment_bytes);
  ASSERT_NE(inventory.find(first_timeline, resume.segment_start), nullptr);
  EXPECT_EQ(inventory.find(first_timeline, resume.segment_start)->tails.size(), 1U)
      << "memory went to a tail";
  EXPECT_EQ(sink->durable(), resume.segment_start) << "which is not synced";
  ASSERT_TRUE(sink->flush(std::nullopt));
  const auto stored = read_wal_segment(space, inventory, first_timeline, resume.segment_start);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->bytes.size(), 400 * chunk.size());
}

TEST_F(WalSinkTest, OfSeveralStretchesTheOneThatTheSourceStillKeepsIsContinued) {
  const auto space = space_over(store_);
  Lsn durable;
  std::mt19937_64 random(4);
  ASSERT_TRUE(feed(**open(space), wal_sample().start + 300'000, random, durable));
  // Another receiver stored segments further on.
  const Lsn third = wal_sample().start + 2 * WalSample::segment_size_bytes;
  const auto before = *WalInventory::load(space, WalSample::segment_size_bytes);
  auto other = *WalSink::open(options(space, 0), *begin_wal_at(space, before, first_timeline, third));
  ASSERT_TRUE(feed(*other, third + WalSample::segment_size_bytes, random, durable));

  const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
  const auto position = [&](Lsn wanted) {
    return (*find_wal_resume(space, inventory, first_timeline, wanted))->position();
  };
  EXPECT_EQ(position(wal_sample().start + 300'000), wal_sample().start + 300'000);
  EXPECT_EQ(position(third), third + WalSample::segment_size_bytes);
  EXPECT_EQ(position({}), third + WalSample::segment_size_bytes);
  EXPECT_EQ(position(wal_sample().end() + 1), third + WalSample::segment_size_bytes);
}

// Beyond the fork the old timeline's segment holds what the new one never had.
TEST_F(WalSinkTest, ASegmentInWhichTheWayTurnsOffIsNoBeginning) {
  const auto space = space_over(store_);
  Lsn durable;
  std::mt19937_64 random(5);
  const Lsn second = wal_sample().start + WalSample::segment_size_bytes;
  ASSERT_TRUE(feed(**open(space), second, random, durable));
  const auto begin_after_fork_at = [&](TimelineId timeline, Lsn fork) {
    EXPECT_TRUE(put_timeline_history(space, timeline, as_byte_view(fmt::format("1\t{}\tx\n", fork))));
    return *begin_wal_at(space, *WalInventory::load(space, WalSample::segment_size_bytes), timeline, second);
  };
  EXPECT_TRUE(begin_after_fork_at(TimelineId{2}, second).latest_transaction_end.valid());
  const auto begun = begin_after_fork_at(TimelineId{3}, {second.value - 1000});
  EXPECT_FALSE(begun.latest_transaction_end.valid());
  EXPECT_TRUE(begun.record_beginning.empty());
}

// Its summary says that it reaches as far, but what it says it holds cannot be read.
TEST_F(WalSinkTest, APartialSegmentThatRottedMakesRoomForTheSameWal) {
  const auto space = space_over(store_);
  const Lsn end = wal_sample().start + 500'000;
  std::string partial;
  for (int round = 0; round < 2; ++round) {
    std::mt19937_64 random(1);
    auto sink = *open(space);
    EXPECT_EQ(sink->received(), wal_sample().start);
    Lsn durable;
    ASSERT_TRUE(feed(*sink, end, random, durable));
    ASSERT_EQ(message_of(sink->end_timeline()), "ok");
    expect_stored(space, end, "after the timeline's end");
    if (round == 1) continue;
    const auto inventory = *WalInventory::load(space, WalSample::segment_size_bytes);
    const auto name = space.object_name(inventory.find(first_timeline, wal_sample().start)->partial);
    auto content = *store_.get(name);
    content[content.size() / 3] ^= std::byte{1};
    overwrite(store_, name, content);
  }
}

// A store whose disk fails to read one object, as long as it is told to.
class StoreThatFailsToRead : public MemoryStore {
 public:
  std::string unreadable;

  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes) override {
    if (name == unreadable) return std::unexpected(failure());
    return MemoryStore::get(name, limit_bytes);
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    if (name == unreadable) return std::unexpected(failure());
    return MemoryStore::read_some(name, offset, into);
  }

 private:
  static Error failure() { return Error(ErrorCode::damaged, "cannot be read").with_error_number(EIO); }
};

TEST_F(WalSinkTest, ASegmentThatTheDiskFailsToReadIsNotRemoved) {
  StoreThatFailsToRead store;
  const auto space = space_over(store);
  const auto segment_bytes = WalSample::segment_size_bytes;
  const auto store_segment = [&](bool partial) {
    auto writer = partial ? *WalSegmentWriter::create_partial(space, first_timeline, wal_sample().start,
                                                              segment_bytes, clock_, 1)
                          : *WalSegmentWriter::create(space, first_timeline, wal_sample().start,
                                                      segment_bytes, clock_, 1);
    EXPECT_TRUE(writer.append(Bytes(segment_bytes, std::byte{1})));
    WalSegmentSummary summary;
    summary.timeline = first_timeline;
    summary.start_lsn = wal_sample().start;
    summary.end_lsn = wal_sample().start + segment_bytes;
    return writer.commit(summary);
  };
  for (const bool partial : {false, true}) {
    ASSERT_TRUE(store_segment(partial));
    store.unreadable = space.object_name(wal_object_name(first_timeline, wal_sample().start, segment_bytes)) +
                       (partial ? std::string(partial_wal_suffix) : "");
    EXPECT_EQ(code_of(store_segment(partial)), "damaged");
    EXPECT_TRUE(store.stat(store.unreadable)) << "it is still there";
    store.unreadable.clear();
    EXPECT_TRUE(store_segment(partial));
  }
}

}  // namespace
}  // namespace pgstrata
