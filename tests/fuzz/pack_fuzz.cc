// What a pack holds once its seals are open: chunk form, directory, footer. And a whole forged pack, for its
// frame.
#include "repo/pack_format.h"
#include "storage/memory/memory_store.h"

using namespace pgstrata;

namespace {

void try_chunk(ByteView bytes) {
  const auto chunk = parse_chunk_form(bytes);
  if (!chunk) return;
  Bytes into(chunk->content_size);
  Decompressor decompressor;
  (void)extract_content(decompressor, *chunk, into);
}

void try_directory(ByteView bytes) {
  std::uint64_t end = object_header_size_bytes;
  for (std::size_t at = 0; at + pack_directory_entry_size_bytes <= bytes.size();
       at += pack_directory_entry_size_bytes) {
    std::uint32_t stored_size = 0;
    std::memcpy(&stored_size, bytes.data() + at, sizeof stored_size);
    end += stored_size;
  }
  const auto directory = parse_pack_directory(bytes, end);
  if (!directory) return;
  const Bytes again = write_pack_directory(*directory);
  PGS_ASSERT(std::ranges::equal(again, bytes));
}

void try_pack(ByteView bytes) {
  MemoryStore store;
  if (!store.put("clusters/app/packs/one", bytes)) return;
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  auto pack = PackReader::open_with_key(store, "app", "packs/one", PackKind::data, *key);
  if (!pack) return;
  (void)pack->read_all([](const PackDirectoryEntry&, ByteView) -> Result<void> { return {}; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  try_chunk(bytes);
  try_directory(bytes);
  try_pack(bytes);
  const auto footer_size = std::min(bytes.size(), pack_footer_size_bytes);
  (void)parse_pack_footer(bytes.last(footer_size), bytes.size());
  return 0;
}
