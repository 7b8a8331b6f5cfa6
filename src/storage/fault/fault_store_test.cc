#include "storage/fault/fault_store.h"

#include <set>

#include "storage/conformance.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

class FaultlessHarness {
 public:
  ObjectStore& store() { return store_; }
  ObjectStore& other() { return store_; }

 private:
  MemoryStore beneath_;
  FaultStore store_{beneath_, 1};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Faultless, ObjectStoreConformance, FaultlessHarness);

std::string text(Result<Bytes> content) {
  return content ? std::string(as_text(*content)) : "!" + std::string(to_string(content.error().code()));
}

TEST(FaultStore, CountsEveryStep) {
  MemoryStore beneath;
  FaultStore store(beneath, 1);
  const auto writer = store.create("writer").value();
  ASSERT_TRUE(writer->write(as_byte_view("x")) && writer->write(as_byte_view("y")) && writer->commit());
  EXPECT_EQ(store.steps(), 4U);
  const auto journal = store.create_journal("journal").value();
  ASSERT_TRUE(journal->append(as_byte_view("x")) && journal->sync());
  EXPECT_EQ(store.steps(), 7U);
  Bytes one(1);
  ASSERT_TRUE(store.put("a", one) && store.get("a") && store.read("a", 0, one) && store.stat("a") &&
              store.list_all("") && store.make_names_durable("") && store.remove("a") &&
              store.replace("b", std::nullopt, one) && store.get_versioned("b"));
  EXPECT_EQ(store.steps(), 16U);
  EXPECT_EQ(store.last_fault(), "");
}

TEST(FaultStore, AnErrorHasNoEffectAndALostAnswerHas) {
  MemoryStore beneath;
  FaultStore store(beneath, 7);
  store.set_fault({.kind = Fault::Kind::error, .at_step = 2, .step_count = 2, .code = ErrorCode::no_space});
  EXPECT_TRUE(store.put("one", {}));
  EXPECT_EQ(store.put("two", {}).error().code(), ErrorCode::no_space);
  EXPECT_EQ(store.last_fault(), "step 2: put two (seed 7)");
  EXPECT_EQ(store.remove("one").error().code(), ErrorCode::no_space);
  EXPECT_TRUE(store.put("four", {}));
  EXPECT_TRUE(beneath.stat("one"));
  EXPECT_FALSE(beneath.stat("two"));

  store.set_fault({.kind = Fault::Kind::lost_answer, .at_step = 5});
  EXPECT_EQ(store.put("five", {}).error().code(), ErrorCode::unavailable);
  EXPECT_TRUE(beneath.stat("five"));
  EXPECT_EQ(store.put("five", {}).error().code(), ErrorCode::already_exists) << "the retry";
  store.set_fault({.kind = Fault::Kind::error, .at_step = 7});
  store.clear_fault();
  EXPECT_TRUE(store.put("seven", {}));
}

TEST(FaultStore, AFailedWriterOrJournalStaysFailed) {
  MemoryStore beneath;
  FaultStore store(beneath, 1);
  const auto writer = store.create("object").value();
  const auto journal = store.create_journal("journal").value();
  ASSERT_TRUE(journal->append(as_byte_view("kept")) && journal->sync());
  store.set_fault({.kind = Fault::Kind::error, .at_step = 5, .step_count = 2});
  EXPECT_FALSE(writer->write(as_byte_view("x")));
  EXPECT_FALSE(journal->append(as_byte_view("lost")));
  store.clear_fault();
  EXPECT_FALSE(writer->write(as_byte_view("y")));
  EXPECT_FALSE(writer->commit());
  EXPECT_FALSE(journal->sync());
  EXPECT_EQ(text(beneath.get("object")), "!not_found");
  EXPECT_EQ(text(beneath.get("journal")), "kept");
}

TEST(FaultStore, UnsyncedBytesAreSeenByNoReader) {
  MemoryStore beneath;
  FaultStore store(beneath, 1);
  const auto journal = store.create_journal("journal").value();
  ASSERT_TRUE(journal->append(as_byte_view("x")));
  EXPECT_EQ(text(store.get("journal")), "");
  ASSERT_TRUE(journal->sync());
  EXPECT_EQ(text(store.get("journal")), "x");
}

TEST(FaultStore, NothingAnswersAfterACrash) {
  MemoryStore beneath;
  FaultStore store(beneath, 1);
  ASSERT_TRUE(store.put("kept", as_byte_view("x")));
  const auto writer = store.create("lost").value();
  ASSERT_TRUE(writer->write(as_byte_view("x")));
  const auto journal = store.create_journal("journal").value();
  store.crash();
  EXPECT_TRUE(store.crashed());
  EXPECT_EQ(writer->commit().error().code(), ErrorCode::unavailable);
  EXPECT_EQ(journal->append({}).error().code(), ErrorCode::unavailable);
  EXPECT_EQ(store.get("kept").error().code(), ErrorCode::unavailable);
  EXPECT_EQ(store.list_all("").error().code(), ErrorCode::unavailable);
  FaultStore reopened(beneath, 1);
  EXPECT_EQ(text(reopened.get("kept")), "x");
  EXPECT_EQ(text(reopened.get("lost")), "!not_found");
  EXPECT_EQ(text(reopened.get("journal")), "");
}

// What is in the journal after a crash with 700 bytes synced and 3,000 not.
std::string journal_after_crash(std::uint64_t seed, bool drop_first) {
  MemoryStore beneath;
  FaultStore store(beneath, seed);
  auto journal = store.create_journal("journal").value();
  EXPECT_TRUE(journal->append(Bytes(700, std::byte{'s'})) && journal->sync());
  EXPECT_TRUE(journal->append(Bytes(3000, std::byte{'u'})));
  if (drop_first) journal.reset();
  store.crash();
  return text(beneath.get("journal"));
}

TEST(FaultStore, ACrashTakesWhatItLikesOfAnUnsyncedTail) {
  std::set<std::string> shapes;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const std::string content = journal_after_crash(seed, seed % 2 == 0);
    EXPECT_EQ(content, journal_after_crash(seed, seed % 2 == 0)) << "the same seed, the same outcome";
    ASSERT_TRUE(content.starts_with(std::string(700, 's'))) << "seed " << seed;
    const std::string tail = content.substr(700);
    ASSERT_EQ(tail.find_first_not_of(std::string("u\0", 2)), std::string::npos) << "seed " << seed;
    for (std::size_t at = 1; at < tail.size(); ++at) {
      const bool changes = tail[at] != tail[at - 1];
      ASSERT_TRUE(!changes || (700 + at) % 512 == 0) << "torn within a sector, seed " << seed;
    }
    const bool torn = tail.find('\0') != std::string::npos;
    shapes.insert(tail.empty() ? "none" : torn ? "torn" : tail.size() == 3000 ? "all" : "part");
  }
  EXPECT_THAT(shapes, ::testing::ElementsAre("all", "none", "part", "torn"));
}

// The use this store is made for: crash at each step in turn, reopen, and look whether the promises held.
TEST(FaultStore, EveryStepOfASequenceCanCrash) {
  const auto run = [](ObjectStore& store) -> Result<void> {
    PGS_CHECK(store.put("first", as_byte_view("1")));
    PGS_TRY(const auto writer, store.create("second"));
    PGS_CHECK(writer->write(as_byte_view("two")));
    PGS_CHECK(writer->write(as_byte_view("halves")));
    PGS_CHECK(writer->commit());
    PGS_TRY(const auto version, store.replace("lease", std::nullopt, as_byte_view("mine")));
    PGS_TRY(const auto again, store.replace("lease", version, as_byte_view("still mine")));
    return store.remove("first");
  };
  std::set<std::string> outcomes;
  std::uint64_t step = 1;
  for (bool finished = false; !finished; ++step) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      MemoryStore beneath;
      FaultStore store(beneath, seed);
      store.set_fault({.kind = Fault::Kind::crash, .at_step = step});
      finished = run(store).has_value();
      EXPECT_EQ(store.crashed(), !finished);
      const std::string second = text(beneath.get("second"));
      const std::string lease = text(beneath.get("lease"));
      EXPECT_THAT(second, ::testing::AnyOf("!not_found", "twohalves")) << store.last_fault();
      EXPECT_THAT(lease, ::testing::AnyOf("!not_found", "mine", "still mine")) << store.last_fault();
      EXPECT_TRUE(lease == "!not_found" || second == "twohalves") << store.last_fault();
      outcomes.insert(fmt::format("{} {} {}", text(beneath.get("first")), second, lease));
    }
  }
  EXPECT_EQ(step, 10U) << "eight steps, then a run without a crash";
  EXPECT_EQ(outcomes.size(), 6U) << "each state between two steps was reached";
}

}  // namespace
}  // namespace pgstrata
