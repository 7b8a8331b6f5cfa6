#include <algorithm>
#include <set>

#include <gmock/gmock.h>

#include "base/sanitized.h"
#include "snapshot/file_tree_reader.h"
#include "snapshot/file_tree_writer.h"
#include "snapshot/snapshot_test_support.h"

namespace pgstrata {
namespace {

using testing::MemorySpace;
using testing::noise;

class FileTreeTest : public ::testing::Test {
 protected:
  // A tree of `count` files of one extent each; `changed` has other content.
  ChunkRef write_tree(std::size_t count, const std::set<std::size_t>& changed = {}) {
    store_ = ChunkStore::open(memory_.space, system_clock()).value();
    std::optional<FileTreeReader> last;
    if (newest_) {
      last.emplace(memory_.space, *newest_);
      EXPECT_TRUE(last->for_each_node([&](const NodeRef& node) -> Result<void> {
        store_->learn(node.tag, node.chunk);
        return {};
      }));
    }
    std::vector<FileEntry> before;
    if (last) {
      EXPECT_TRUE(last->for_each([&](const FileEntry& entry) -> Result<void> {
        before.push_back(entry);
        return {};
      }));
    }
    ChunkWriter chunks(*store_, PackKind::data);
    FileTreeWriter tree(*store_);
    for (std::size_t i = 0; i < count; ++i) {
      FileEntry entry{path(i), EntryKind::regular, 0600, 64, {}};
      const auto old = std::ranges::lower_bound(before, entry.path, {}, &FileEntry::path);
      const auto* previous = old == before.end() ? nullptr : &old->map.extents.front();
      const auto content = noise(64, changed.contains(i) ? i + 1'000'000 : i);
      entry.map.extents.push_back(chunks.put_extent(content, previous).value());
      tree.add(std::move(entry));
    }
    tree.add({"base", EntryKind::directory, 0700, 0, {}});
    EXPECT_TRUE(chunks.finish());
    newest_ = tree.finish().value();
    return *newest_;
  }

  static std::string path(std::size_t number) {
    return fmt::format("base/5/{}", 16384 + number * 7919 % 1'000'003);
  }

  MemorySpace memory_;
  std::unique_ptr<ChunkStore> store_;
  std::optional<ChunkRef> newest_;
};

TEST_F(FileTreeTest, GivesBackEveryEntryInOrder) {
  FileTreeReader reader(memory_.space, write_tree(3000));
  std::vector<std::string> paths;
  ASSERT_TRUE(reader.for_each([&](const FileEntry& entry) -> Result<void> {
    paths.push_back(entry.path);
    return {};
  }));
  EXPECT_EQ(paths.size(), 3001U);
  EXPECT_TRUE(std::ranges::is_sorted(paths));
  EXPECT_EQ(paths.front(), "base");
}

TEST_F(FileTreeTest, FindsByPath) {
  FileTreeReader reader(memory_.space, write_tree(3000));
  for (const std::size_t i : {0U, 1U, 1500U, 2999U}) {
    const auto found = reader.find(path(i)).value();
    ASSERT_TRUE(found.has_value()) << path(i);
    EXPECT_EQ(found->size_bytes, 64U);
    Buffer content(extent_bytes);
    const auto size =
        ChunkReader(memory_.space).read(*found->map.extents.front().chunk, content.whole()).value();
    EXPECT_TRUE(std::ranges::equal(ByteView(content.data(), size), noise(64, i)));
  }
  EXPECT_FALSE(reader.find("base/5/1").value().has_value());
  EXPECT_FALSE(reader.find("a").value().has_value());
  EXPECT_FALSE(reader.find("zzz").value().has_value());
}

TEST_F(FileTreeTest, OneChangedPageWritesAFewNodes) {
  constexpr std::size_t count = sanitized ? 5'000 : 20'000;
  write_tree(count);
  write_tree(count, {777});
  // The page itself, one leaf and the inner nodes above it: not the thousands of entries.
  EXPECT_LT(store_->added_bytes(), 64U << 10);
  write_tree(count);
}

TEST_F(FileTreeTest, AnEmptyTreeIsATree) {
  store_ = ChunkStore::open(memory_.space, system_clock()).value();
  FileTreeWriter tree(*store_);
  FileTreeReader reader(memory_.space, tree.finish().value());
  int entries = 0;
  ASSERT_TRUE(reader.for_each([&](const FileEntry&) -> Result<void> {
    ++entries;
    return {};
  }));
  EXPECT_EQ(entries, 0);
}

TEST_F(FileTreeTest, RefusesAPathThatCameTwice) {
  store_ = ChunkStore::open(memory_.space, system_clock()).value();
  FileTreeWriter tree(*store_);
  tree.add({"base", EntryKind::directory, 0700, 0, {}});
  tree.add({"base", EntryKind::directory, 0700, 0, {}});
  EXPECT_EQ(tree.finish().error().message(), "\"base\" came twice");
}

TEST_F(FileTreeTest, LargeFilesHaveLeavesThatAreShared) {
  store_ = ChunkStore::open(memory_.space, system_clock()).value();
  ChunkWriter chunks(*store_, PackKind::data);
  FileTreeWriter tree(*store_);
  const std::uint64_t size = (2 * page_map_leaf_extents + 5) * std::uint64_t{extent_bytes} - page_size;
  FileEntry file{"base/5/1", EntryKind::regular, 0600, size, {}};
  std::vector<ExtentRef> zeros(page_map_leaf_extents);
  file.map.leaves.push_back(tree.put_page_map_leaf(zeros).value());
  file.map.leaves.push_back(tree.put_page_map_leaf(zeros).value());
  EXPECT_EQ(file.map.leaves[0].chunk, file.map.leaves[1].chunk);
  std::vector<ExtentRef> last(5);
  last[3] = chunks.put_extent(noise(extent_bytes, 3), nullptr).value();
  file.map.leaves.push_back(tree.put_page_map_leaf(last).value());
  tree.add(file);
  ASSERT_TRUE(chunks.finish());

  FileTreeReader reader(memory_.space, tree.finish().value());
  const auto found = reader.find("base/5/1").value().value();
  EXPECT_EQ(extent_count(found.size_bytes), 2 * page_map_leaf_extents + 5);
  EXPECT_EQ(extent_size(found.size_bytes, 2 * page_map_leaf_extents + 4), extent_bytes - page_size);
  const auto extents = reader.extents(found, 2 * page_map_leaf_extents, 5).value();
  EXPECT_EQ(extents[3].chunk, last[3].chunk);
  EXPECT_FALSE(extents[2].chunk.has_value());
  EXPECT_EQ(reader.extents(found, 2 * page_map_leaf_extents, 6).error().code(), ErrorCode::damaged);
  EXPECT_EQ(reader.extents(found, 3 * page_map_leaf_extents, 1).error().code(), ErrorCode::damaged);
}

class BrokenNode : public ::testing::TestWithParam<std::optional<ChunkRef>> {};
INSTANTIATE_TEST_SUITE_P(OfEachVersion, BrokenNode,
                         ::testing::Values(std::nullopt, ChunkRef{{}, {200, 300}}));

TEST_P(BrokenNode, IsAnErrorAndNeverMore) {
  FileEntry entry{"base/1/1259", EntryKind::regular, 0600, 3 * extent_bytes, {}};
  entry.map.extents = {ExtentRef{}, ExtentRef{{}, ChunkRef{{}, {64, 100}}, GetParam()}, ExtentRef{}};
  const std::vector<FileEntry> entries{entry, {"global", EntryKind::directory, 0700, 0, {}}};
  const auto node = encode_file_tree_leaf(entries);
  ASSERT_TRUE(decode_file_tree_node(node).has_value());
  for (std::size_t length = 0; length < node.size(); ++length) {
    EXPECT_FALSE(decode_file_tree_node(ByteView(node).first(length)).has_value()) << length;
  }
  for (std::size_t at = 0; at < node.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto broken = node;
      broken[at] ^= static_cast<std::byte>(1 << bit);
      [[maybe_unused]] const auto decoded = decode_file_tree_node(broken);  // must not crash
    }
  }
}

TEST(FileTreeNode, RefusesPathsThatLeaveTheDirectory) {
  for (const auto* path : {"../etc/passwd", "/etc/passwd", "base/../../x", "base//1", ".", "base/", ""}) {
    const std::vector<FileEntry> entries{{path, EntryKind::directory, 0700, 0, {}}};
    EXPECT_EQ(decode_file_tree_node(encode_file_tree_leaf(entries)).error().code(), ErrorCode::damaged)
        << path;
  }
}

TEST(FileTreeNode, SaysWhenItIsNewer) {
  auto node = encode_page_map_leaf({});
  node[0] = std::byte{3};
  EXPECT_EQ(decode_page_map_leaf(node).error().code(), ErrorCode::newer_format);
}

}  // namespace
}  // namespace pgstrata
