// Nodes of file trees as versions 1 and 2 wrote them must read for ever: never change the samples.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/digest.h"
#include "repo/test_store.h"
#include "snapshot/extent_difference.h"
#include "snapshot/file_tree_node.h"

namespace pgstrata {
namespace {

constexpr std::string_view leaf_hex =
    "010201019f0a0b0c0d000102030405060708ff0400046261736502c00304082f352f313633383401800380801000011c"
    "4d01010101010101010101010101010101000b013501a003ffff47010202020202020202020202020202020200694d00"
    "14706f737467726573716c2e6175746f2e636f6e660180030000";
constexpr std::string_view inner_hex =
    "010301019f0a0b0c0d000102030405060708ff020004626173650303030303030303030303030303030300c8014d0006"
    "70675f77616c0404040404040404040404040404040400ac024d";
constexpr std::string_view map_leaf_hex =
    "010101019f0a0b0c0d000102030405060708ff04011c4d05050505050505050505050505050505000001694d06060606"
    "060606060606060606060606";
constexpr std::string_view leaf_2_hex =
    "020202019f0a0b0c0d000102030405060708ff019f0a0b0c0e0f1020304050607080900400046261736502c00304082f"
    "352f313633383401800380801000021c4d0101010101010101010101010101010101b60133000b013501a003ffff4701"
    "0202020202020202020202020202020200694d0014706f737467726573716c2e6175746f2e636f6e660180030000";
constexpr std::string_view map_leaf_2_hex =
    "020102019f0a0b0c0d000102030405060708ff019f0a0b0c0e0f10203040506070809003021c4d050505050505050505"
    "0505050505050501b601330001694d06060606060606060606060606060606";
constexpr std::string_view difference_hex = "0101000000001c4e21";

ContentTag tag(unsigned fill) {
  ContentTag filled{};
  filled.fill(static_cast<std::byte>(fill));
  return filled;
}

ChunkRef chunk(std::uint64_t offset) {
  return {*parse_pack_id("019f0a0b0c0d000102030405060708ff"), {.offset = offset, .stored_size = 77}};
}

PackId other_pack() {
  return *parse_pack_id("019f0a0b0c0e0f102030405060708090");
}

// A directory; a file of one extent and zeros; a file with a leaf; an empty one.
std::vector<FileEntry> golden_entries() {
  return {{"base", EntryKind::directory, 0700, 0, {}},
          {"base/5/16384", EntryKind::regular, 0600, 2 * extent_bytes, {{{tag(1), chunk(28)}, {}}, {}}},
          {"base/5/16385", EntryKind::regular, 0640, 9 * extent_bytes - 1, {{}, {{tag(2), chunk(105)}}}},
          {"postgresql.auto.conf", EntryKind::regular, 0600, 0, {}}};
}

void expect_equal(const std::vector<ExtentRef>& extents, const std::vector<ExtentRef>& expected) {
  ASSERT_EQ(extents.size(), expected.size());
  for (std::size_t i = 0; i < extents.size(); ++i) EXPECT_EQ(extents[i], expected[i]) << i;
}

TEST(FileTreeGolden, LeafReads) {
  const auto expected = golden_entries();
  EXPECT_EQ(to_hex(encode_file_tree_leaf(expected)), leaf_hex);
  const auto node = decode_file_tree_node(*from_hex(leaf_hex));
  ASSERT_EQ(message_of(node), "ok");
  ASSERT_EQ(node->entries.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const FileEntry& entry = node->entries[i];
    EXPECT_EQ(entry.path, expected[i].path);
    EXPECT_EQ(entry.kind, expected[i].kind);
    EXPECT_EQ(entry.mode, expected[i].mode);
    EXPECT_EQ(entry.size_bytes, expected[i].size_bytes);
    expect_equal(entry.map.extents, expected[i].map.extents);
    ASSERT_EQ(entry.map.leaves.size(), expected[i].map.leaves.size());
  }
  EXPECT_EQ(node->entries[2].map.leaves[0].tag, tag(2));
  EXPECT_EQ(node->entries[2].map.leaves[0].chunk, chunk(105));
}

TEST(FileTreeGolden, InnerNodeReads) {
  const std::vector<FileTreeChild> children{{"base", {tag(3), chunk(200)}}, {"pg_wal", {tag(4), chunk(300)}}};
  EXPECT_EQ(to_hex(encode_file_tree_inner(children)), inner_hex);
  const auto node = decode_file_tree_node(*from_hex(inner_hex));
  ASSERT_EQ(message_of(node), "ok");
  ASSERT_EQ(node->children.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(node->children[i].first_path, children[i].first_path);
    EXPECT_EQ(node->children[i].node.tag, children[i].node.tag);
    EXPECT_EQ(node->children[i].node.chunk, children[i].node.chunk);
  }
}

TEST(FileTreeGolden, PageMapLeafReads) {
  const std::vector<ExtentRef> expected{{tag(5), chunk(28)}, {}, {}, {tag(6), chunk(105)}};
  EXPECT_EQ(to_hex(encode_page_map_leaf(expected)), map_leaf_hex);
  const auto extents = decode_page_map_leaf(*from_hex(map_leaf_hex));
  ASSERT_EQ(message_of(extents), "ok");
  expect_equal(*extents, expected);
}

// What one difference makes of a node: another version, with the others' extents.
TEST(FileTreeGolden, PageMapLeafWithADifferenceReads) {
  const std::vector<ExtentRef> expected{
      {tag(5), chunk(28), ChunkRef{other_pack(), {.offset = 182, .stored_size = 51}}},
      {},
      {tag(6), chunk(105)}};
  EXPECT_EQ(to_hex(encode_page_map_leaf(expected)), map_leaf_2_hex);
  const auto extents = decode_page_map_leaf(*from_hex(map_leaf_2_hex));
  ASSERT_EQ(message_of(extents), "ok");
  expect_equal(*extents, expected);
}

TEST(FileTreeGolden, LeafWithADifferenceReads) {
  auto expected = golden_entries();
  expected[1].map.extents[0].difference = ChunkRef{other_pack(), {.offset = 182, .stored_size = 51}};
  EXPECT_EQ(to_hex(encode_file_tree_leaf(expected)), leaf_2_hex);
  const auto node = decode_file_tree_node(*from_hex(leaf_2_hex));
  ASSERT_EQ(message_of(node), "ok");
  ASSERT_EQ(node->entries.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(node->entries[i].path, expected[i].path);
    expect_equal(node->entries[i].map.extents, expected[i].map.extents);
  }
  EXPECT_EQ(node->entries[2].map.leaves[0].chunk, chunk(105));
}

// "hello" becomes "help!!": one page, and another size.
TEST(FileTreeGolden, DifferenceApplies) {
  Bytes difference(max_extent_difference_bytes);
  const auto size = encode_extent_difference(as_byte_view("hello"), as_byte_view("help!!"), difference);
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(to_hex(ByteView(difference).first(*size)), difference_hex);
  Bytes content(6);
  fit_whole_extent(as_byte_view("hello"), content);
  EXPECT_EQ(message_of(apply_extent_difference(*from_hex(difference_hex), content)), "ok");
  EXPECT_EQ(as_text(content), "help!!");
}

}  // namespace
}  // namespace pgstrata
