// Extents stored as differences, from the writer to the reader.
#include <algorithm>

#include <gmock/gmock.h>

#include "repo/test_store.h"
#include "snapshot/chunk_store.h"
#include "snapshot/extent_reader.h"
#include "snapshot/snapshot_test_support.h"

namespace pgstrata {
namespace {

using testing::MemorySpace;
using testing::noise;

class ChangedExtentTest : public ::testing::Test {
 protected:
  // One run of its own, as a snapshot is made.
  ExtentRef put(ByteView content, const ExtentRef& previous = {}) {
    const auto store = ChunkStore::open(memory_.space, system_clock()).value();
    if (adopt_) {
      EXPECT_TRUE(store->adopt_unreferenced({}));
    }
    ChunkWriter chunks(*store, PackKind::data);
    ExtentReader reader(memory_.space);
    Bytes whole(extent_bytes);
    const auto whole_size = reader.read_whole(previous, whole);
    EXPECT_EQ(message_of(whole_size), "ok");
    const auto put =
        chunks.put_changed_extent(content, previous, ByteView(whole).first(whole_size.value_or(0)));
    EXPECT_EQ(message_of(put), "ok");
    EXPECT_TRUE(chunks.finish());
    packs_ = chunks.packs();
    added_bytes_ = store->added_bytes();
    return put.value();
  }

  Result<Bytes> read(const ExtentRef& ref, std::size_t size_bytes) {
    Bytes into(size_bytes, std::byte{0xEE});
    PGS_CHECK(ExtentReader(memory_.space).read(ref, static_cast<std::uint32_t>(size_bytes), into));
    return into;
  }
  void expect_read(const ExtentRef& ref, const Bytes& content) {
    const auto there = read(ref, content.size());
    ASSERT_EQ(message_of(there), "ok");
    EXPECT_TRUE(*there == content);
  }
  std::string name_of(const PackId& pack) { return memory_.space.object_name(pack_name(pack)); }

  static Bytes changed(Bytes content, std::initializer_list<std::size_t> pages, std::size_t bytes = 100) {
    for (const auto page : pages) {
      for (std::size_t at = 0; at < bytes; ++at) content[page * page_size + 4000 + at] ^= std::byte{0x5A};
    }
    return content;
  }

  MemorySpace memory_;
  bool adopt_ = false;
  std::set<PackId> packs_;  // of the last run
  std::uint64_t added_bytes_ = 0;
};

TEST_F(ChangedExtentTest, IsStoredAsItsDifferenceFromTheWhole) {
  const auto first = noise(extent_bytes, 1);
  const auto second = changed(first, {3});
  const auto whole = put(first);
  EXPECT_FALSE(whole.difference.has_value());
  const auto once = put(second, whole);
  EXPECT_EQ(once.chunk, whole.chunk);
  ASSERT_TRUE(once.difference.has_value());
  EXPECT_LT(once.difference->location.stored_size, 300U);
  EXPECT_THAT(packs_, ::testing::UnorderedElementsAre(whole.chunk->pack, once.difference->pack));
  expect_read(once, second);
  expect_read(whole, first);

  // The next one is a difference from the same whole, not from the difference.
  const auto third = changed(second, {3, 9});
  const auto twice = put(third, once);
  EXPECT_EQ(twice.chunk, whole.chunk);
  EXPECT_NE(twice.difference, once.difference);
  EXPECT_FALSE(packs_.contains(once.difference->pack));
  expect_read(twice, third);
}

TEST_F(ChangedExtentTest, IsTakenOverWhenItDidNotChange) {
  const auto first = noise(extent_bytes, 1);
  const auto second = changed(first, {3});
  const auto once = put(second, put(first));
  EXPECT_EQ(put(second, once), once);
  EXPECT_EQ(packs_.size(), 2U);
  EXPECT_EQ(added_bytes_, 0U);

  const auto store = ChunkStore::open(memory_.space, system_clock()).value();
  ChunkWriter backup(*store, PackKind::data);
  EXPECT_EQ(backup.put_extent(second, &once).value(), once) << "as a base backup does";
  EXPECT_EQ(backup.packs().size(), 2U);
  EXPECT_TRUE(backup.finish());
}

TEST_F(ChangedExtentTest, ThatWentBackIsTheWholeAgain) {
  const auto first = noise(extent_bytes, 1);
  const auto whole = put(first);
  const auto once = put(changed(first, {3}), whole);
  EXPECT_EQ(put(first, once), whole);
  EXPECT_EQ(added_bytes_, 0U);
  EXPECT_THAT(packs_, ::testing::ElementsAre(whole.chunk->pack));
}

TEST_F(ChangedExtentTest, OfZerosTakesNoChunk) {
  const auto whole = put(noise(extent_bytes, 1));
  EXPECT_EQ(put(Bytes(extent_bytes), whole), ExtentRef{});
}

TEST_F(ChangedExtentTest, IsStoredWholeWhenTheDifferenceIsTooLarge) {
  const auto first = noise(extent_bytes, 1);
  auto second = noise(extent_bytes, 2);
  const auto whole = put(first);
  const auto replaced = put(second, whole);
  EXPECT_FALSE(replaced.difference.has_value());
  EXPECT_NE(replaced.chunk, whole.chunk);
  expect_read(replaced, second);
  EXPECT_THAT(packs_, ::testing::ElementsAre(replaced.chunk->pack));

  // Half of it is the limit.
  const auto with_new_pages = [&](std::size_t pages) {
    auto content = first;
    std::copy_n(second.begin(), pages * page_size, content.begin());
    return content;
  };
  EXPECT_TRUE(put(with_new_pages(7), whole).difference.has_value());
  EXPECT_FALSE(put(with_new_pages(9), whole).difference.has_value());
  // All pages a little is still little.
  EXPECT_TRUE(put(changed(first, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}), whole)
                  .difference.has_value());
}

TEST_F(ChangedExtentTest, OfAFilesEndGrowsAndShrinks) {
  const auto first = noise(3 * page_size + 100, 1);
  const auto whole = put(first);
  auto grown = changed(first, {1});
  append(grown, noise(page_size, 2));
  const auto larger = put(grown, whole);
  EXPECT_EQ(larger.chunk, whole.chunk);
  ASSERT_TRUE(larger.difference.has_value());
  expect_read(larger, grown);

  auto longer = first;
  longer.resize(extent_bytes);
  const auto padded = put(longer, larger);
  ASSERT_TRUE(padded.difference.has_value()) << "no page changed, but the size did";
  expect_read(padded, longer);

  Bytes shorter(first.begin(), first.begin() + page_size + 5);
  const auto cut = put(shorter, padded);
  EXPECT_EQ(cut.chunk, whole.chunk);
  expect_read(cut, shorter);
}

TEST_F(ChangedExtentTest, AnInterruptedRunIsFoundAgain) {
  const auto first = noise(extent_bytes, 1);
  const auto second = changed(first, {3});
  const auto third = noise(extent_bytes, 4);
  const auto whole = put(first);
  const auto once = put(second, whole);
  const auto replaced = put(third, whole);
  adopt_ = true;
  EXPECT_EQ(put(second, whole), once);
  EXPECT_EQ(added_bytes_, 0U);
  EXPECT_EQ(put(third, once), replaced);
  EXPECT_EQ(added_bytes_, 0U);
  // Content that was stored whole before is so again: that costs nothing.
  EXPECT_EQ(put(first, replaced), whole);
}

TEST_F(ChangedExtentTest, RefersToNoPackThatIsGone) {
  const auto first = noise(extent_bytes, 1);
  const auto second = changed(first, {3});
  const auto third = changed(first, {4});
  const auto whole = put(first);
  const auto once = put(second, whole);

  // Without the difference's pack: stored anew, from the same whole.
  ASSERT_TRUE(memory_.space.store().remove(name_of(once.difference->pack)));
  const auto again = put(second, once);
  EXPECT_EQ(again.chunk, whole.chunk);
  EXPECT_NE(again.difference, once.difference);
  expect_read(again, second);

  // Without the whole's: whole.
  Bytes before(extent_bytes);
  ASSERT_TRUE(ExtentReader(memory_.space).read_whole(again, before));
  ASSERT_TRUE(memory_.space.store().remove(name_of(whole.chunk->pack)));
  const auto store = ChunkStore::open(memory_.space, system_clock()).value();
  ChunkWriter chunks(*store, PackKind::data);
  const auto kept = chunks.put_changed_extent(third, again, before).value();
  EXPECT_FALSE(kept.difference.has_value());
  EXPECT_EQ(chunks.put_extent(second, &again).value().difference, std::nullopt);
  ASSERT_TRUE(chunks.finish());
  expect_read(kept, third);
}

TEST_F(ChangedExtentTest, ReadingNamesThePackThatIsDamaged) {
  const auto first = noise(extent_bytes, 1);
  const auto once = put(changed(first, {3}), put(first));
  const auto expect_named = [&](const PackId& pack) {
    const auto name = name_of(pack);
    const auto sound = memory_.space.store().get(name).value();
    ASSERT_TRUE(memory_.space.store().remove(name));
    const auto gone = read(once, extent_bytes);
    EXPECT_EQ(code_of(gone), "damaged");
    EXPECT_THAT(message_of(gone), ::testing::HasSubstr(to_string(pack)));
    ASSERT_TRUE(memory_.space.store().put(name, sound));
  };
  expect_named(once.chunk->pack);
  expect_named(once.difference->pack);
  // A difference that is none, and one of another extent's size.
  auto confused = once;
  confused.difference = once.chunk;
  EXPECT_FALSE(read(confused, extent_bytes));
  EXPECT_EQ(code_of(read(once, page_size)), "damaged");
  EXPECT_THAT(read(once, page_size).error().describe(),
              ::testing::HasSubstr(to_string(once.difference->pack)));
  auto whole = once;
  whole.difference.reset();
  EXPECT_EQ(code_of(read(whole, page_size)), "damaged");
  auto short_whole = put(noise(page_size, 3));
  EXPECT_EQ(code_of(read(short_whole, extent_bytes)), "damaged");
}

}  // namespace
}  // namespace pgstrata
