// The contract of storage/object_store.h as tests, for every store.
//
// A store's test names a harness and instantiates the suite:
//
//   struct DiskHarness {
//     ObjectStore& store();   // empty at first
//     ObjectStore& other();   // the same objects, as another process would open them
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Disk, ObjectStoreConformance, DiskHarness);
//
// The harness is default-constructed for each test. Only tests include this header.
#pragma once

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/object_store.h"

namespace pgstrata {

template <class Harness>
class ObjectStoreConformance : public ::testing::Test {
 protected:
  ObjectStore& store() { return harness_.store(); }
  ObjectStore& other() { return harness_.other(); }

  void put(std::string_view name, std::string_view content) {
    const Result<void> done = store().put(name, as_byte_view(content));
    ASSERT_TRUE(done) << done.error().describe();
  }
  // "!" and the error's name where there is no content.
  static std::string text(Result<Bytes> content) {
    return content ? std::string(as_text(*content)) : "!" + std::string(to_string(content.error().code()));
  }
  std::string get(std::string_view name) { return text(other().get(name)); }
  std::vector<std::string> names(std::string_view prefix, std::string_view after = "",
                                 std::size_t limit = 1000) {
    const auto page = other().list(prefix, after, limit);
    EXPECT_TRUE(page) << page.error().describe();
    std::vector<std::string> found;
    if (!page) return found;
    for (const ObjectInfo& info : *page) found.push_back(info.name);
    return found;
  }
  template <class T>
  static std::string code(const Result<T>& result) {
    return result ? "ok" : std::string(to_string(result.error().code()));
  }

 private:
  Harness harness_;
};

TYPED_TEST_SUITE_P(ObjectStoreConformance);

TYPED_TEST_P(ObjectStoreConformance, RefusesUnfitNamesEverywhere) {
  ObjectStore& store = this->store();
  Bytes one(1);
  for (const std::string& name :
       {std::string(), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("."),
        std::string(".."), std::string("a/../b"), std::string("a/.b"), std::string(".tmp/a"),
        std::string("a b"), std::string("a\\b"), std::string("a\0b", 3), std::string("\xC3\xA4"),
        std::string("a+b"), std::string(256, 'a'),
        std::string(200, 'a') + "/" + std::string(200, 'b') + "/" + std::string(200, 'c')}) {
    EXPECT_EQ(this->code(store.put(name, one)), "usage") << name;
    EXPECT_EQ(this->code(store.create(name)), "usage") << name;
    EXPECT_EQ(this->code(store.get(name)), "usage") << name;
    EXPECT_EQ(this->code(store.read(name, 0, one)), "usage") << name;
    EXPECT_EQ(this->code(store.read_some(name, 0, one)), "usage") << name;
    EXPECT_EQ(this->code(store.read_some(name, 0, {})), "usage") << name;
    EXPECT_EQ(this->code(store.stat(name)), "usage") << name;
    EXPECT_EQ(this->code(store.remove(name)), "usage") << name;
    EXPECT_EQ(this->code(store.replace(name, std::nullopt, one)), "usage") << name;
    EXPECT_EQ(this->code(store.get_versioned(name)), "usage") << name;
    if (store.capabilities().journals) {
      EXPECT_EQ(this->code(store.create_journal(name)), "usage") << name;
    }
  }
  EXPECT_TRUE(this->names("").empty());
}

TYPED_TEST_P(ObjectStoreConformance, TakesEveryFitName) {
  const std::string longest = std::string(255, 'a') + "/" + std::string(255, 'b');
  for (const std::string& name : {std::string("a"), std::string("AZaz09._=-"), std::string("a..b"),
                                  std::string("-"), std::string("x/y/z/w/v/u/t"), longest}) {
    this->put(name, name);
    EXPECT_EQ(this->get(name), name);
  }
}

TYPED_TEST_P(ObjectStoreConformance, PutIsSeenByAnyone) {
  this->put("a/b", "content");
  EXPECT_EQ(this->get("a/b"), "content");
  const auto info = this->other().stat("a/b");
  ASSERT_TRUE(info) << info.error().describe();
  EXPECT_EQ(info->name, "a/b");
  EXPECT_EQ(info->size_bytes, 7U);
  EXPECT_TRUE(info->modified.valid());
  this->put("empty", "");
  EXPECT_EQ(this->get("empty"), "");
}

TYPED_TEST_P(ObjectStoreConformance, KeepsEveryByte) {
  std::string content;
  for (int i = 0; i < 3'000'000; ++i) content.push_back(static_cast<char>(i * 2654435761U >> 13));
  this->put("large", content);
  EXPECT_TRUE(this->get("large") == content);
}

TYPED_TEST_P(ObjectStoreConformance, GetRefusesWhatIsLargerThanItsLimit) {
  this->put("a", "12345");
  EXPECT_EQ(this->text(this->other().get("a", 5)), "12345");
  EXPECT_EQ(this->text(this->other().get("a", 4)), "!damaged");
  EXPECT_EQ(this->text(this->other().get("missing", 4)), "!not_found");
  const Bytes large(max_replaceable_bytes + 1);
  ASSERT_TRUE(this->store().put("large", large));
  EXPECT_EQ(this->code(this->other().get_versioned("large")), "damaged");
  if (!this->store().capabilities().conditional_writes) return;
  EXPECT_EQ(this->code(this->store().replace("b", std::nullopt, large)), "usage");
  EXPECT_EQ(this->get("b"), "!not_found");
}

TYPED_TEST_P(ObjectStoreConformance, PutRefusesATakenName) {
  this->put("a/b", "first");
  EXPECT_EQ(this->code(this->store().put("a/b", as_byte_view("second"))), "already_exists");
  EXPECT_EQ(this->code(this->other().put("a/b", as_byte_view("third"))), "already_exists");
  EXPECT_EQ(this->get("a/b"), "first");
}

TYPED_TEST_P(ObjectStoreConformance, MissingObjectsAreNotFound) {
  ObjectStore& store = this->store();
  this->put("a/b", "x");
  Bytes one(1);
  for (const std::string_view name : {"missing", "a", "a/missing", "a/b/c", "missing/folder/x"}) {
    EXPECT_EQ(this->code(store.get(name)), "not_found") << name;
    EXPECT_EQ(this->code(store.read(name, 0, one)), "not_found") << name;
    EXPECT_EQ(this->code(store.read_some(name, 0, one)), "not_found") << name;
    EXPECT_EQ(this->code(store.read_some(name, 1000, one)), "not_found") << name;
    EXPECT_EQ(this->code(store.read_some(name, 0, {})), "not_found") << name;
    EXPECT_EQ(this->code(store.stat(name)), "not_found") << name;
    EXPECT_EQ(this->code(store.get_versioned(name)), "not_found") << name;
  }
}

TYPED_TEST_P(ObjectStoreConformance, WriterShowsNothingBeforeCommit) {
  auto writer = this->store().create("a/b");
  ASSERT_TRUE(writer) << writer.error().describe();
  ASSERT_TRUE((*writer)->write(as_byte_view("con")));
  ASSERT_TRUE((*writer)->write({}));
  ASSERT_TRUE((*writer)->write(as_byte_view("tent")));
  EXPECT_EQ(this->get("a/b"), "!not_found");
  EXPECT_TRUE(this->names("").empty());
  ASSERT_TRUE((*writer)->commit());
  EXPECT_EQ(this->get("a/b"), "content");
  writer->reset();
  EXPECT_EQ(this->get("a/b"), "content");
}

TYPED_TEST_P(ObjectStoreConformance, WriterKeepsEveryByteOfManyPieces) {
  auto writer = this->store().create("large");
  ASSERT_TRUE(writer) << writer.error().describe();
  std::string whole;
  for (int i = 0; i < 40; ++i) {
    const std::string piece(500'000 + static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
    ASSERT_TRUE((*writer)->write(as_byte_view(piece)));
    whole += piece;
  }
  ASSERT_TRUE((*writer)->commit());
  EXPECT_TRUE(this->get("large") == whole);
}

TYPED_TEST_P(ObjectStoreConformance, DroppedWriterLeavesNothing) {
  {
    auto writer = this->store().create("a/b");
    ASSERT_TRUE(writer) << writer.error().describe();
    ASSERT_TRUE((*writer)->write(as_byte_view("x")));
  }
  EXPECT_EQ(this->get("a/b"), "!not_found");
  EXPECT_TRUE(this->names("").empty());
  this->put("a/b", "y");
  EXPECT_EQ(this->get("a/b"), "y");
}

TYPED_TEST_P(ObjectStoreConformance, CommitRefusesATakenName) {
  auto first = this->store().create("a/b");
  auto second = this->other().create("a/b");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE((*first)->write(as_byte_view("first")));
  ASSERT_TRUE((*second)->write(as_byte_view("second")));
  ASSERT_TRUE((*first)->commit());
  EXPECT_EQ(this->code((*second)->commit()), "already_exists");
  EXPECT_EQ(this->get("a/b"), "first");
}

TYPED_TEST_P(ObjectStoreConformance, ReadsAnyRange) {
  this->put("a/b", "0123456789");
  const auto read = [&](std::uint64_t offset, std::size_t size) {
    Bytes into(size);
    const auto done = this->other().read("a/b", offset, into);
    return done ? std::string(as_text(into)) : "!" + std::string(to_string(done.error().code()));
  };
  EXPECT_EQ(read(0, 10), "0123456789");
  EXPECT_EQ(read(3, 4), "3456");
  EXPECT_EQ(read(9, 1), "9");
  EXPECT_EQ(read(10, 0), "");
  EXPECT_EQ(read(9, 2), "!damaged");
  EXPECT_EQ(read(10, 1), "!damaged");
  EXPECT_EQ(read(1000, 1), "!damaged");
}

TYPED_TEST_P(ObjectStoreConformance, ReadsAsFarAsTheObjectGoes) {
  constexpr std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  this->put("a/b", "0123456789");
  this->put("empty", "");
  const auto read = [&](std::string_view name, std::uint64_t offset, std::size_t size) {
    Bytes into(size, std::byte{'.'});
    const auto got = this->other().read_some(name, offset, into);
    if (!got) return "!" + std::string(to_string(got.error().code()));
    EXPECT_LE(*got, size);
    return std::string(as_text(into).substr(0, *got));
  };
  EXPECT_EQ(read("a/b", 0, 10), "0123456789");
  EXPECT_EQ(read("a/b", 0, 11), "0123456789");
  EXPECT_EQ(read("a/b", 3, 4), "3456");
  EXPECT_EQ(read("a/b", 9, 100), "9");
  EXPECT_EQ(read("a/b", 0, 3'000'000), "0123456789");
  for (const std::uint64_t behind : {std::uint64_t{10}, std::uint64_t{11}, std::uint64_t{1} << 40, last / 2,
                                     last / 2 + 1, last - 1, last}) {
    EXPECT_EQ(read("a/b", behind, 4), "") << behind;
    EXPECT_EQ(read("a/b", behind, 0), "") << behind;
    Bytes one(1);
    EXPECT_EQ(this->code(this->other().read("a/b", behind, one)), "damaged") << behind;
    EXPECT_EQ(this->code(this->other().read("a/b", behind, {})), "ok") << behind;
  }
  EXPECT_EQ(read("a/b", 5, 0), "");
  EXPECT_EQ(read("empty", 0, 4), "");
  EXPECT_EQ(read("empty", 0, 0), "");
}

TYPED_TEST_P(ObjectStoreConformance, ForgettingCopiesChangesNoObject) {
  this->put("a/b", "0123456789");
  Bytes into(10);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(this->other().read("a/b", 0, into));
    EXPECT_EQ(as_text(into), "0123456789");
    static_cast<void>(this->other().forget_copies("a/b", 0, 10));
    EXPECT_FALSE(this->other().forget_copies("a/b", 0, 10)) << "there are none any more";
  }
  EXPECT_FALSE(this->other().forget_copies("missing", 3, 1'000'000));
  EXPECT_FALSE(this->other().forget_copies("a/b", 3, 0));
}

TYPED_TEST_P(ObjectStoreConformance, ListsInByteOrderOfWholeNames) {
  // "-" and "." sort before "/", digits and letters after: the order of folders is not that of their names.
  const std::vector<std::string> sorted = {"A",     "a-b",     "a.b",  "a/0", "a/b-c", "a/b.c",
                                           "a/b/c", "a/b/d/e", "a/b0", "a/c", "a0",    "a0-/x",
                                           "a0/x",  "aa",      "b=",   "b_"};
  for (const std::size_t i : {7U, 2U, 15U, 0U, 9U, 4U, 13U, 1U, 12U, 6U, 3U, 14U, 5U, 8U, 11U}) {
    this->put(sorted[i], "x");
  }
  std::vector<std::string> expected = sorted;
  expected.erase(expected.begin() + 10);  // "a0" would be the folder of "a0/x"
  EXPECT_EQ(this->names(""), expected);
  EXPECT_THAT(this->names("a/b"), ::testing::ElementsAre("a/b-c", "a/b.c", "a/b/c", "a/b/d/e", "a/b0"));
  EXPECT_THAT(this->names("a/b/"), ::testing::ElementsAre("a/b/c", "a/b/d/e"));
  EXPECT_THAT(this->names("a/b/d/e"), ::testing::ElementsAre("a/b/d/e"));
  EXPECT_THAT(this->names("a/b/d/e/"), ::testing::IsEmpty());
  for (const std::string_view prefix : {"x", "a/x", "../", "./", "/", "a//", "a/../a/", ".tmp", "."}) {
    EXPECT_THAT(this->names(prefix), ::testing::IsEmpty()) << prefix;
  }
  for (std::size_t limit = 1; limit <= expected.size() + 1; ++limit) {
    std::vector<std::string> paged;
    while (true) {
      const auto page = this->names("", paged.empty() ? "" : paged.back(), limit);
      EXPECT_LE(page.size(), limit);
      paged.insert(paged.end(), page.begin(), page.end());
      if (page.size() < limit) break;
    }
    EXPECT_EQ(paged, expected) << "limit " << limit;
  }
  // `after` need not exist, nor begin with the prefix.
  EXPECT_THAT(this->names("a/b", "a/b/"), ::testing::ElementsAre("a/b/c", "a/b/d/e", "a/b0"));
  EXPECT_THAT(this->names("a/b", "a/b/c0"), ::testing::ElementsAre("a/b/d/e", "a/b0"));
  EXPECT_EQ(this->names("a/b", "A").size(), 5U);
  EXPECT_TRUE(this->names("a/b", "b").empty());
}

TYPED_TEST_P(ObjectStoreConformance, ListTellsSizes) {
  this->put("a/b", "12345");
  const auto page = this->other().list_all("a/");
  ASSERT_TRUE(page) << page.error().describe();
  ASSERT_EQ(page->size(), 1U);
  EXPECT_EQ(page->front().size_bytes, 5U);
  EXPECT_TRUE(page->front().modified.valid());
}

TYPED_TEST_P(ObjectStoreConformance, NamesCanBeMadeDurableWhateverThePrefix) {
  this->put("a/b/c", "x");
  for (const std::string_view prefix : {"", "a", "a/", "a/b/c", "a/b/c/", "a/x/", "missing/x/", "../", "/"}) {
    EXPECT_EQ(this->code(this->other().make_names_durable(prefix)), "ok") << prefix;
  }
  EXPECT_EQ(this->get("a/b/c"), "x");
}

TYPED_TEST_P(ObjectStoreConformance, RemoveIsSeenByAnyoneAndRepeatable) {
  this->put("a/b", "x");
  this->put("a/c", "y");
  ASSERT_TRUE(this->store().remove("a/b"));
  EXPECT_EQ(this->get("a/b"), "!not_found");
  EXPECT_THAT(this->names(""), ::testing::ElementsAre("a/c"));
  EXPECT_TRUE(this->store().remove("a/b"));
  EXPECT_TRUE(this->store().remove("never/was"));
  EXPECT_TRUE(this->store().remove("a/c/below"));
  EXPECT_TRUE(this->store().remove("a"));
  EXPECT_EQ(this->get("a/c"), "y");
  this->put("a/b", "again");
  EXPECT_EQ(this->get("a/b"), "again");
}

TYPED_TEST_P(ObjectStoreConformance, JournalKeepsWhatWasSyncedThenZeros) {
  if (!this->store().capabilities().journals) {
    EXPECT_EQ(this->code(this->store().create_journal("j")), "unsupported");
    return;
  }
  auto journal = this->store().create_journal("wal/j");
  ASSERT_TRUE(journal) << journal.error().describe();
  const auto expect_content = [&](const std::string& appended) {
    const std::string content = this->get("wal/j");
    ASSERT_GE(content.size(), appended.size());
    ASSERT_TRUE(content.starts_with(appended));
    ASSERT_EQ(content.find_first_not_of('\0', appended.size()), std::string::npos);
  };
  expect_content("");
  EXPECT_EQ(this->names("wal/").size(), 1U);
  std::string appended;
  for (int i = 0; i < 60; ++i) {
    const std::string piece(static_cast<std::size_t>(i) * 1777, static_cast<char>('a' + i % 26));
    ASSERT_TRUE((*journal)->append(as_byte_view(piece)));
    appended += piece;
    if (i % 3 != 0) continue;
    ASSERT_TRUE((*journal)->sync());
    expect_content(appended);
    Bytes tail(std::min<std::size_t>(appended.size(), 100));
    ASSERT_TRUE(this->other().read("wal/j", appended.size() - tail.size(), tail));
    EXPECT_TRUE(appended.ends_with(as_text(tail)));
  }
  ASSERT_TRUE((*journal)->sync());
  journal->reset();
  expect_content(appended);
}

TYPED_TEST_P(ObjectStoreConformance, JournalRefusesATakenName) {
  if (!this->store().capabilities().journals) return;
  this->put("object", "x");
  EXPECT_EQ(this->code(this->store().create_journal("object")), "already_exists");
  const auto journal = this->store().create_journal("journal");
  ASSERT_TRUE(journal);
  EXPECT_EQ(this->code(this->other().create_journal("journal")), "already_exists");
  EXPECT_EQ(this->code(this->other().put("journal", {})), "already_exists");
  EXPECT_EQ(this->get("object"), "x");
}

TYPED_TEST_P(ObjectStoreConformance, ReplaceComparesThenSwaps) {
  if (!this->store().capabilities().conditional_writes) return;
  ObjectStore& store = this->store();
  EXPECT_EQ(this->code(store.replace("lease/a", "no-such-version", as_byte_view("0"))), "busy");
  EXPECT_EQ(this->get("lease/a"), "!not_found");
  const auto first = store.replace("lease/a", std::nullopt, as_byte_view("1"));
  ASSERT_TRUE(first) << first.error().describe();
  EXPECT_EQ(this->code(this->other().replace("lease/a", std::nullopt, as_byte_view("x"))), "busy");
  const auto second = this->other().replace("lease/a", *first, as_byte_view("2"));
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_NE(*first, *second);
  EXPECT_EQ(this->code(store.replace("lease/a", *first, as_byte_view("x"))), "busy");
  const auto seen = store.get_versioned("lease/a");
  ASSERT_TRUE(seen) << seen.error().describe();
  EXPECT_EQ(as_text(seen->content), "2");
  EXPECT_EQ(seen->version, *second);
  EXPECT_EQ(this->get("lease/a"), "2");
  EXPECT_THAT(this->names(""), ::testing::ElementsAre("lease/a"));
  ASSERT_TRUE(store.remove("lease/a"));
  EXPECT_EQ(this->code(store.replace("lease/a", *second, as_byte_view("x"))), "busy");
  EXPECT_TRUE(store.replace("lease/a", std::nullopt, as_byte_view("3")));
}

TYPED_TEST_P(ObjectStoreConformance, OneOfManyConcurrentPutsWins) {
  if (!this->store().capabilities().conditional_writes) return;
  constexpr int rounds = 10;
  std::vector<std::thread> threads;
  std::array<std::atomic<int>, rounds> wins{};
  for (int who = 0; who < 4; ++who) {
    threads.emplace_back([&, who] {
      for (int round = 0; round < rounds; ++round) {
        const std::string name = fmt::format("new/{}/object", round);
        const auto done =
            (who % 2 == 0 ? this->store() : this->other()).put(name, as_byte_view(std::to_string(who)));
        if (done) ++wins[static_cast<std::size_t>(round)];
        EXPECT_THAT(this->code(done), ::testing::AnyOf("ok", "already_exists"));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& count : wins) EXPECT_EQ(count, 1);
}

TYPED_TEST_P(ObjectStoreConformance, NoConcurrentReplaceIsLost) {
  if (!this->store().capabilities().conditional_writes) return;
  constexpr int increments = 15;
  ASSERT_TRUE(this->store().replace("counter", std::nullopt, as_byte_view("0")));
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who) {
    threads.emplace_back([&, who] {
      ObjectStore& store = who % 2 == 0 ? this->store() : this->other();
      for (int done = 0; done < increments;) {
        const auto seen = store.get_versioned("counter");
        ASSERT_TRUE(seen) << seen.error().describe();
        const int next = std::stoi(std::string(as_text(seen->content))) + 1;
        const auto swapped = store.replace("counter", seen->version, as_byte_view(std::to_string(next)));
        if (swapped) ++done;
        ASSERT_THAT(this->code(swapped), ::testing::AnyOf("ok", "busy"));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(this->get("counter"), std::to_string(4 * increments));
}

REGISTER_TYPED_TEST_SUITE_P(ObjectStoreConformance, RefusesUnfitNamesEverywhere, TakesEveryFitName,
                            PutIsSeenByAnyone, KeepsEveryByte, GetRefusesWhatIsLargerThanItsLimit,
                            PutRefusesATakenName, MissingObjectsAreNotFound, WriterShowsNothingBeforeCommit,
                            WriterKeepsEveryByteOfManyPieces, DroppedWriterLeavesNothing,
                            CommitRefusesATakenName, ReadsAnyRange, ReadsAsFarAsTheObjectGoes,
                            ForgettingCopiesChangesNoObject, ListsInByteOrderOfWholeNames, ListTellsSizes,
                            NamesCanBeMadeDurableWhateverThePrefix, RemoveIsSeenByAnyoneAndRepeatable,
                            JournalKeepsWhatWasSyncedThenZeros, JournalRefusesATakenName,
                            ReplaceComparesThenSwaps, OneOfManyConcurrentPutsWins, NoConcurrentReplaceIsLost);

}  // namespace pgstrata
