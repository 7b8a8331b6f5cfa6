#include "repo/sealed_journal.h"

#include <algorithm>

#include "repo/journal_format.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class JournalTest : public testing::Test {
 protected:
  JournalWriter writer() {
    auto journal = JournalWriter::create(space_, name_);
    EXPECT_EQ(message_of(journal), "ok");
    return *std::move(journal);
  }
  // Frames of these contents, each durable before the next.
  void write(const std::vector<std::string>& frames) {
    JournalWriter journal = writer();
    for (const std::string& frame : frames) {
      ASSERT_EQ(message_of(journal.append(as_byte_view(frame))), "ok");
      ASSERT_EQ(message_of(journal.sync()), "ok");
    }
  }

  struct Read {
    std::vector<std::string> frames;
    std::string code;
  };
  Read read(std::string_view name) {
    Read found;
    const auto done = read_journal(space_, name, [&](ByteView frame) -> Result<void> {
      found.frames.emplace_back(as_text(frame));
      return {};
    });
    found.code = code_of(done);
    return found;
  }
  Read read() { return read(name_); }

  Bytes object() { return *store_.get(object_); }
  static std::size_t frame_end(std::initializer_list<std::string_view> frames) {
    std::size_t end = object_header_size_bytes;
    for (const std::string_view frame : frames) end += frame.size() + frame_overhead_bytes;
    return end;
  }

  MemoryStore store_;
  ClusterSpace space_{store_, "app", fixed_key(1)};
  const std::string name_ = "wal/tail/one";
  const std::string object_ = space_.object_name(name_);
};

TEST_F(JournalTest, FramesComeBackInOrder) {
  const std::string large(max_frame_size_bytes, 'x');
  write({"one", "", large, large, large, "four"});
  const Read found = read();
  EXPECT_EQ(found.code, "ok");
  EXPECT_EQ(found.frames, (std::vector<std::string>{"one", "", large, large, large, "four"}));
}

TEST_F(JournalTest, IsVisibleAndEmptyAtFirst) {
  const JournalWriter journal = writer();
  EXPECT_EQ(read().code, "ok");
  EXPECT_THAT(read().frames, IsEmpty());
  EXPECT_EQ(code_of(JournalWriter::create(space_, name_)), "already_exists");
}

TEST_F(JournalTest, CanBeReadWhileItIsWritten) {
  JournalWriter journal = writer();
  ASSERT_EQ(code_of(journal.append(as_byte_view("one"))), "ok");
  ASSERT_EQ(code_of(journal.sync()), "ok");
  EXPECT_THAT(read().frames, ElementsAre("one"));
  ASSERT_EQ(code_of(journal.append(as_byte_view("two"))), "ok");
  EXPECT_THAT(read().frames, ElementsAre("one", "two"));
}

// A store whose journals end in zeros, and in which somebody is at work between two reads.
class BusyStore : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<ObjectInfo> stat(std::string_view name) override {
    PGS_TRY(ObjectInfo info, BorrowedStore::stat(name));
    info.size_bytes += zeros_bytes;
    return info;
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    PGS_TRY(Bytes content, get(name));
    content.resize(content.size() + zeros_bytes);
    if (offset >= content.size()) return 0U;
    const auto size = std::min(into.size(), content.size() - static_cast<std::size_t>(offset));
    std::ranges::copy(ByteView(content).subspan(static_cast<std::size_t>(offset), size), into.begin());
    after_read();
    return size;
  }
  std::function<void()> after_read;

 private:
  static constexpr std::size_t zeros_bytes = 4U << 20;
};

TEST_F(JournalTest, WhatIsWrittenBetweenTwoReadsIsNoDamage) {
  BusyStore busy(store_);
  JournalWriter journal = writer();
  const Bytes half_mebibyte(512U << 10);
  std::size_t written = 0;
  const auto add = [&](std::size_t count) {
    for (const std::size_t end = written + count; written < end; ++written) {
      ASSERT_EQ(code_of(journal.append(half_mebibyte)), "ok");
      ASSERT_EQ(code_of(journal.sync()), "ok");
    }
  };
  add(15);  // the reader's first look ends in the zeros after these
  std::size_t reads = 0;
  busy.after_read = [&] {
    if (++reads <= 4) add(3);
  };
  std::size_t seen = 0;
  const auto done = read_journal(ClusterSpace(busy, "app", fixed_key(1)), name_, [&](ByteView) {
    ++seen;
    return Result<void>();
  });
  EXPECT_EQ(message_of(done), "ok");
  EXPECT_GE(seen, 18U);
  EXPECT_GE(reads, 3U);
}

TEST_F(JournalTest, RefusesAFrameOverTheLimit) {
  EXPECT_EQ(code_of(writer().append(Bytes(max_frame_size_bytes + 1))), "usage");
}

TEST_F(JournalTest, PassesTheReadersErrorsOn) {
  write({"one", "two"});
  const auto done = read_journal(
      space_, name_, [](ByteView) -> Result<void> { return fail(ErrorCode::cancelled, "enough"); });
  EXPECT_EQ(code_of(done), "cancelled");
  EXPECT_EQ(read("missing").code, "not_found");
}

TEST_F(JournalTest, EndsAtTheLastWholeFrameWhereverItIsCut) {
  write({"one", "twotwo", "three"});
  const Bytes whole = object();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    for (const std::size_t zeros : {0U, 1U, 500U}) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      cut.resize(size + zeros);
      overwrite(store_, object_, cut);
      const Read found = read();
      EXPECT_EQ(found.code, "ok") << size << " and " << zeros;
      // Bytes cut off and replaced by zeros may have been zeros.
      const auto intact = [&](std::size_t end) {
        return cut.size() >= end &&
               std::equal(cut.begin(), cut.begin() + static_cast<int>(end), whole.begin());
      };
      std::vector<std::string> expected;
      if (intact(frame_end({"one"}))) expected.emplace_back("one");
      if (intact(frame_end({"one", "twotwo"}))) expected.emplace_back("twotwo");
      if (intact(whole.size())) expected.emplace_back("three");
      EXPECT_EQ(found.frames, expected) << size << " and " << zeros;
    }
  }
}

TEST_F(JournalTest, AChangeBeforeADurableFrameIsDamage) {
  write({"one", "twotwo", "three"});
  const Bytes whole = object();
  const std::size_t last = frame_end({"one", "twotwo"});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= std::byte{0x10};
    overwrite(store_, object_, changed);
    const Read found = read();
    const std::vector<std::string> all{"one", "twotwo", "three"};
    const std::size_t intact = at < object_header_size_bytes ? 0U
                               : at < frame_end({"one"})     ? 0U
                               : at < last                   ? 1U
                                                             : 2U;
    EXPECT_EQ(found.code, at < last ? "damaged" : "ok") << at;
    EXPECT_EQ(found.frames, (std::vector<std::string>(all.begin(), all.begin() + static_cast<int>(intact))))
        << at;
  }
}

TEST_F(JournalTest, WhatACrashToreOffIsNoDamage) {
  {
    JournalWriter journal = writer();
    ASSERT_EQ(code_of(journal.append(as_byte_view("durable"))), "ok");
    ASSERT_EQ(code_of(journal.sync()), "ok");
    // Neither of these was ever durable; the second reached the disk, the first did not.
    ASSERT_EQ(code_of(journal.append(as_byte_view("lost"))), "ok");
    ASSERT_EQ(code_of(journal.append(as_byte_view("kept"))), "ok");
  }
  Bytes torn = object();
  const auto from = torn.begin() + static_cast<std::ptrdiff_t>(frame_end({"durable"}));
  std::fill(from, from + static_cast<std::ptrdiff_t>(4 + frame_overhead_bytes), std::byte{0});
  overwrite(store_, object_, torn);
  EXPECT_EQ(read().code, "ok");
  EXPECT_THAT(read().frames, ElementsAre("durable"));
}

TEST_F(JournalTest, AFrameOpensOnlyInItsPlace) {
  write({"one", "two", "six"});
  Bytes changed = object();
  const auto at = [&](std::size_t offset) { return changed.begin() + static_cast<std::ptrdiff_t>(offset); };
  std::swap_ranges(at(frame_end({})), at(frame_end({"one"})), at(frame_end({"one"})));
  overwrite(store_, object_, changed);
  EXPECT_EQ(read().code, "damaged");
  EXPECT_THAT(read().frames, IsEmpty());
}

TEST_F(JournalTest, FramesOfAnotherJournalDoNotOpen) {
  write({"one"});
  ASSERT_TRUE(store_.put(space_.object_name("wal/tail/two"), object()).has_value());
  EXPECT_THAT(read("wal/tail/two").frames, IsEmpty());
}

// A crash leaves no frame that calls frames durable which are not there.
TEST_F(JournalTest, OneUnderAForeignNameIsDamagedOnceItsFramesSayThatOthersAreDurable) {
  write({"one", "two"});
  ASSERT_TRUE(store_.put(space_.object_name("wal/tail/two"), object()).has_value());
  EXPECT_EQ(read("wal/tail/two").code, "damaged");
  EXPECT_THAT(read("wal/tail/two").frames, IsEmpty());
}

TEST_F(JournalTest, OneThatWasCutInItsHeaderIsEmptyUnlessSomethingFollows) {
  write({});
  Bytes torn = object();
  torn[20] ^= std::byte{1};
  torn.resize(1'000);
  overwrite(store_, object_, torn);
  EXPECT_EQ(read().code, "ok");
  torn[900] = std::byte{1};
  overwrite(store_, object_, torn);
  EXPECT_EQ(read().code, "damaged");
}

TEST_F(JournalTest, ForgedHeadersDoNotKeepTheReaderBusy) {
  write({"one"});
  Bytes forged = object();
  const FrameHeaderBytes header =
      write_frame_header({.number = 7, .length = max_frame_size_bytes, .durable = 7});
  for (int i = 0; i < 400'000; ++i) append(forged, header);
  overwrite(store_, object_, forged);
  EXPECT_EQ(read().code, "damaged");
}

// A store whose objects all go on with zeros, as a file with a hole does.
class SparseStore : public BorrowedStore {
 public:
  SparseStore(ObjectStore& store, std::uint64_t zeros_bytes) : BorrowedStore(store), zeros_(zeros_bytes) {}
  Result<ObjectInfo> stat(std::string_view name) override {
    PGS_TRY(ObjectInfo info, BorrowedStore::stat(name));
    info.size_bytes += zeros_;
    return info;
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    PGS_TRY(const Bytes content, get(name));
    std::ranges::fill(into, std::byte{0});
    if (offset < content.size()) {
      const ByteView rest = ByteView(content).subspan(static_cast<std::size_t>(offset));
      std::ranges::copy(rest.first(std::min(rest.size(), into.size())), into.begin());
    }
    read_bytes += into.size();
    return into.size();
  }
  std::uint64_t read_bytes = 0;

 private:
  const std::uint64_t zeros_;
};

TEST_F(JournalTest, OneThatGoesOnForeverIsDamagedAndSoonLeft) {
  write({"one", "two"});
  const auto read_with_zeros = [&](std::uint64_t zeros_bytes) {
    SparseStore sparse(store_, zeros_bytes);
    std::vector<std::string> frames;
    const auto done =
        read_journal(ClusterSpace(sparse, "app", fixed_key(1)), name_, [&](ByteView frame) -> Result<void> {
          frames.emplace_back(as_text(frame));
          return {};
        });
    EXPECT_LE(sparse.read_bytes, 200U << 20) << zeros_bytes;
    EXPECT_THAT(frames, ElementsAre("one", "two"));
    return message_of(done);
  };
  constexpr std::uint64_t tebibyte = std::uint64_t{1} << 40;
  EXPECT_EQ(read_with_zeros(max_unsynced_bytes + (16U << 20)), "ok");
  EXPECT_EQ(read_with_zeros(look_limit_bytes), "ok");
  EXPECT_THAT(read_with_zeros(look_limit_bytes + 1), testing::HasSubstr("longer than any journal"));
  EXPECT_THAT(read_with_zeros(tebibyte), testing::HasSubstr("longer than any journal"));

  // The same where not even the header is there.
  overwrite(store_, object_, Bytes(10));
  SparseStore sparse(store_, tebibyte);
  const auto done =
      read_journal(ClusterSpace(sparse, "app", fixed_key(1)), name_, [](ByteView) { return Result<void>(); });
  EXPECT_EQ(code_of(done), "damaged");
  EXPECT_LE(sparse.read_bytes, 200U << 20);
}

TEST_F(JournalTest, SyncsByItselfBeforeACrashCouldTearMoreThanReadersLookThrough) {
  JournalWriter journal = writer();
  const Bytes large(max_frame_size_bytes);
  const std::size_t fitting = max_unsynced_bytes / (large.size() + frame_overhead_bytes);
  for (std::size_t i = 0; i <= 2 * fitting; ++i) ASSERT_EQ(code_of(journal.append(large)), "ok");
  const Bytes whole = object();
  const auto durable_at = [&](std::size_t frame) {
    const std::size_t at = object_header_size_bytes + frame * (large.size() + frame_overhead_bytes);
    return parse_frame_header(ByteView(whole).subspan(at)).value().durable;
  };
  EXPECT_EQ(durable_at(fitting - 1), 0U);
  EXPECT_EQ(durable_at(fitting), fitting);
  EXPECT_EQ(durable_at(2 * fitting - 1), fitting);
  EXPECT_EQ(durable_at(2 * fitting), 2 * fitting);
}

// A store whose journals fail once told to.
class FailingJournalStore : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override {
    PGS_TRY(auto journal, BorrowedStore::create_journal(name));
    return std::make_unique<Journal>(*this, std::move(journal));
  }
  bool failing = false;

 private:
  class Journal : public ObjectJournal {
   public:
    Journal(FailingJournalStore& store, std::unique_ptr<ObjectJournal> journal)
        : store_(store), journal_(std::move(journal)) {}
    Result<void> append(ByteView bytes) override {
      if (store_.failing) return fail(ErrorCode::no_space, "full");
      return journal_->append(bytes);
    }
    Result<void> sync() override {
      if (store_.failing) return fail(ErrorCode::failed, "I/O error");
      return journal_->sync();
    }

   private:
    FailingJournalStore& store_;
    std::unique_ptr<ObjectJournal> journal_;
  };
};

TEST_F(JournalTest, WriterGivesUpAfterAFailure) {
  FailingJournalStore failing(store_);
  const ClusterSpace space(failing, "app", fixed_key(1));
  JournalWriter journal = *JournalWriter::create(space, name_);
  ASSERT_EQ(code_of(journal.append(as_byte_view("one"))), "ok");
  failing.failing = true;
  EXPECT_EQ(code_of(journal.append(as_byte_view("two"))), "no_space");
  failing.failing = false;
  EXPECT_EQ(code_of(journal.append(as_byte_view("two"))), "failed");
  EXPECT_EQ(code_of(journal.sync()), "failed");
  EXPECT_THAT(read().frames, ElementsAre("one"));
}

TEST(WholeJournalTest, IsThereWhenItIsVouchedForAndNotBefore) {
  StoreWithoutJournals store;
  const ClusterSpace space(store, "app", fixed_key(1));
  auto journal = JournalWriter::create(space, "wal/tail");
  ASSERT_EQ(message_of(journal), "ok");
  ASSERT_TRUE(journal->append(as_byte_view("one")));
  ASSERT_TRUE(journal->append(as_byte_view("two")));
  EXPECT_EQ(code_of(journal->sync()), "unsupported");
  EXPECT_TRUE(store.list_all("")->empty());
  ASSERT_EQ(message_of(journal->vouch(as_byte_view("three"))), "ok");
  EXPECT_EQ(code_of(journal->append({})), "usage");
  EXPECT_EQ(code_of(journal->vouch({})), "usage");

  std::vector<std::string> frames;
  const auto use = [&frames](ByteView frame) -> Result<void> {
    frames.emplace_back(as_text(frame));
    return {};
  };
  EXPECT_EQ(read_journal(space, "wal/tail", use).value(), 2U) << "known to be durable";
  EXPECT_THAT(frames, ElementsAre("one", "two", "three"));
  // Of a part that no crash can leave behind, all but the last frame is known to be missing.
  const std::size_t last = frame_overhead_bytes + 5;
  const std::string object = space.object_name("wal/tail");
  const Bytes whole = *store.get(object);
  for (std::size_t at = 0; at + last < whole.size(); ++at) {
    Bytes damaged = whole;
    damaged[at] ^= std::byte{1};
    overwrite(store, object, damaged);
    EXPECT_EQ(code_of(read_journal(space, "wal/tail", use)), "damaged") << at;
  }
}

TEST(WholeJournalTest, TakesNoMoreThanAReaderLooksThrough) {
  StoreWithoutJournals store;
  const ClusterSpace space(store, "app", fixed_key(1));
  auto journal = *JournalWriter::create(space, "wal/tail");
  const Bytes frame(max_frame_size_bytes);
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(journal.append(frame));
  EXPECT_EQ(code_of(journal.append(frame)), "usage");
  EXPECT_EQ(message_of(journal.vouch({})), "ok");
  EXPECT_EQ(code_of(read_journal(space, "wal/tail", [](ByteView) { return Result<void>(); })), "ok");
}

}  // namespace
}  // namespace pgstrata
