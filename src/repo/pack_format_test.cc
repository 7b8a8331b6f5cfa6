#include "repo/pack_format.h"

#include <gtest/gtest.h>

#include "codec/endian.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

Bytes directory_of(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& chunks) {
  ByteWriter writer;
  for (const auto& [stored, content] : chunks) {
    writer.u32(stored);
    writer.u32(content);
    writer.bytes(Bytes(16));
  }
  return writer.take();
}

TEST(PackDirectory, MustCoverTheChunksExactly) {
  const Bytes directory = directory_of({{30, 100}, {20, 0}});
  EXPECT_EQ(code_of(parse_pack_directory(directory, 28 + 50)), "ok");
  EXPECT_EQ(code_of(parse_pack_directory(directory, 28 + 49)), "damaged");
  EXPECT_EQ(code_of(parse_pack_directory(directory, 28 + 51)), "damaged");
  EXPECT_EQ(code_of(parse_pack_directory(ByteView(directory).first(47), 28 + 50)), "damaged");
}

TEST(PackDirectory, RefusesSizesThatNoChunkHas) {
  EXPECT_EQ(code_of(parse_pack_directory(directory_of({{19, 100}}), 28 + 19)), "damaged");
  EXPECT_EQ(code_of(parse_pack_directory(directory_of({{121, 100}}), 28 + 121)), "damaged");
  EXPECT_EQ(code_of(parse_pack_directory(directory_of({{40, (4U << 20) + 1}}), 28 + 40)), "damaged");
}

TEST(PackFooter, MustFitThePack) {
  const Bytes footer = write_pack_footer({.directory_offset = 100, .directory_stored_size = 50});
  ASSERT_EQ(footer.size(), pack_footer_size_bytes);
  const auto parsed = parse_pack_footer(footer, 170);
  ASSERT_EQ(code_of(parsed), "ok");
  EXPECT_EQ(parsed->directory_offset, 100U);
  EXPECT_EQ(parsed->directory_stored_size, 50U);
  EXPECT_EQ(code_of(parse_pack_footer(footer, 169)), "damaged");
  EXPECT_EQ(code_of(parse_pack_footer(footer, 171)), "damaged");
  EXPECT_EQ(code_of(parse_pack_footer(footer, 0)), "damaged");
  const Bytes early = write_pack_footer({.directory_offset = 27, .directory_stored_size = 50});
  EXPECT_EQ(code_of(parse_pack_footer(early, 97)), "damaged");
  const Bytes wild =
      write_pack_footer({.directory_offset = ~std::uint64_t{0} - 10, .directory_stored_size = 50});
  EXPECT_EQ(code_of(parse_pack_footer(wild, 59)), "damaged");
  const Bytes huge = write_pack_footer({.directory_offset = 28, .directory_stored_size = 1U << 30});
  EXPECT_EQ(code_of(parse_pack_footer(huge, 28 + (1U << 30) + 20)), "damaged");
}

TEST(ChunkForm, RefusesUnknownMethodsAndWrongSizes) {
  const auto form = [](std::uint8_t method, std::uint32_t size, std::string_view body) {
    ByteWriter writer;
    writer.u32((std::uint32_t{method} << 24) | size);
    writer.bytes(as_byte_view(body));
    return writer.take();
  };
  EXPECT_EQ(code_of(parse_chunk_form(form(0, 3, "abc"))), "ok");
  EXPECT_EQ(code_of(parse_chunk_form(form(0, 4, "abc"))), "damaged");
  EXPECT_EQ(code_of(parse_chunk_form(form(2, 3, "abc"))), "damaged");
  EXPECT_EQ(code_of(parse_chunk_form(as_byte_view("abc"))), "damaged");
  // A broken zstd frame is found when it is unpacked.
  const Bytes broken = form(1, 3, "abc");
  const auto chunk = parse_chunk_form(broken);
  ASSERT_EQ(code_of(chunk), "ok");
  Decompressor decompressor;
  Bytes into(3);
  EXPECT_EQ(code_of(extract_content(decompressor, *chunk, into)), "damaged");
}

}  // namespace
}  // namespace pgstrata
