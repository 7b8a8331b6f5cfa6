#include "snapshot/chunk_store.h"

#include "snapshot/snapshot_test_support.h"

namespace pgstrata {
namespace {

using testing::MemorySpace;
using testing::noise;

std::size_t packs_of(const ClusterSpace& space) {
  return space.list("packs/").value().size();
}

TEST(ChunkStore, ZerosTakeNoChunk) {
  MemorySpace memory;
  const auto store = ChunkStore::open(memory.space, system_clock()).value();
  ChunkWriter chunks(*store, PackKind::data);
  EXPECT_FALSE(chunks.put_extent(Bytes(extent_bytes), nullptr).value().chunk.has_value());
  EXPECT_TRUE(chunks.finish());
  EXPECT_EQ(packs_of(memory.space), 0U);
}

TEST(ChunkStore, EqualContentIsStoredOnceAcrossWriters) {
  MemorySpace memory;
  const auto store = ChunkStore::open(memory.space, system_clock()).value();
  ChunkWriter first(*store, PackKind::data);
  ChunkWriter second(*store, PackKind::data);
  const auto content = noise(extent_bytes, 1);
  const auto a = first.put_extent(content, nullptr).value();
  const auto b = second.put_extent(content, nullptr).value();
  EXPECT_EQ(a.chunk, b.chunk);
  EXPECT_EQ(second.packs().size(), 1U);
  EXPECT_TRUE(first.finish());
  EXPECT_TRUE(second.finish());
  EXPECT_EQ(packs_of(memory.space), 1U);
}

TEST(ChunkStore, AnInterruptedRunIsFoundAgain) {
  MemorySpace memory;
  const auto content = noise(extent_bytes, 7);
  ExtentRef stored;
  {
    const auto store = ChunkStore::open(memory.space, system_clock()).value();
    ChunkWriter chunks(*store, PackKind::data);
    stored = chunks.put_extent(content, nullptr).value();
    ASSERT_TRUE(chunks.finish());
  }
  const auto store = ChunkStore::open(memory.space, system_clock()).value();
  EXPECT_EQ(store->adopt_unreferenced({}).value(), 1U);
  ChunkWriter chunks(*store, PackKind::data);
  EXPECT_EQ(chunks.put_extent(content, nullptr).value().chunk, stored.chunk);
  EXPECT_TRUE(chunks.finish());
  EXPECT_EQ(store->added_bytes(), 0U);
}

TEST(ChunkStore, AnUnfinishedPackLeavesNothing) {
  MemorySpace memory;
  {
    const auto store = ChunkStore::open(memory.space, system_clock()).value();
    ChunkWriter chunks(*store, PackKind::data);
    ASSERT_TRUE(chunks.put_extent(noise(extent_bytes, 7), nullptr));
  }
  EXPECT_EQ(packs_of(memory.space), 0U);
}

class LostPack : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(GoneOrEmpty, LostPack, ::testing::Bool());

TEST_P(LostPack, IsNotReferredTo) {
  MemorySpace memory;
  const auto content = noise(extent_bytes, 3);
  ExtentRef stored;
  {
    const auto store = ChunkStore::open(memory.space, system_clock()).value();
    ChunkWriter chunks(*store, PackKind::data);
    stored = chunks.put_extent(content, nullptr).value();
    ASSERT_TRUE(chunks.finish());
  }
  const auto name = memory.space.object_name(pack_name(stored.chunk->pack));
  ASSERT_TRUE(memory.space.store().remove(name));
  if (GetParam()) {
    ASSERT_TRUE(memory.space.store().put(name, {}));
  }
  const auto store = ChunkStore::open(memory.space, system_clock()).value();
  store->learn(stored.tag, *stored.chunk);
  ChunkWriter chunks(*store, PackKind::data);
  const auto again = chunks.put_extent(content, &stored).value();
  EXPECT_NE(again.chunk->pack, stored.chunk->pack);
}

TEST(ChunkIndex, StopsLearningWhenFull) {
  ChunkIndex index(2);
  const auto tag = [](std::uint8_t number) {
    ContentTag made{};
    made[0] = std::byte{number};
    return made;
  };
  for (std::uint8_t i = 1; i <= 3; ++i) index.insert(tag(i), {{}, {i, 1}});
  EXPECT_EQ(index.size(), 2U);
  EXPECT_EQ(index.find(tag(2))->location.offset, 2U);
  EXPECT_FALSE(index.find(tag(3)).has_value());
}

TEST(ChunkIndex, GrowsAndKeepsWhatItKnows) {
  ChunkIndex index;
  std::mt19937_64 random(42);
  std::vector<ContentTag> tags(5000);
  for (std::size_t i = 0; i < tags.size(); ++i) {
    for (auto& byte : tags[i]) byte = static_cast<std::byte>(random());
    index.insert(tags[i], {{}, {i, 1}});
  }
  for (std::size_t i = 0; i < tags.size(); ++i) EXPECT_EQ(index.find(tags[i])->location.offset, i);
}

}  // namespace
}  // namespace pgstrata
