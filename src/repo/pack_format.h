// The inside of a pack: chunk form, directory and footer. docs/formats/pack.md has the byte tables.
// Internal to the room; fuzz targets and tests use it too.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "codec/aead.h"
#include "codec/compression.h"
#include "repo/object_header.h"
#include "repo/pack.h"

namespace pgstrata {

// A chunk before it is sealed: one 32-bit number, then the stored form of its content. The number's low 24
// bits are the size of the content, its high 8 the method.
inline constexpr std::size_t chunk_prefix_size_bytes = 4;
inline constexpr std::size_t chunk_overhead_bytes = chunk_prefix_size_bytes + Aead::tag_size_bytes;
// The directory is stored in the same form, hence its limit.
inline constexpr std::size_t max_chunk_form_content_bytes = (1U << 24) - 1;

// Content is stored raw when zstd does not shrink it, so nothing stored is larger than this.
[[nodiscard]] constexpr std::size_t stored_size_limit(std::size_t content_size) {
  return content_size + chunk_overhead_bytes;
}

// Compresses and seals chunks. Belongs to one thread.
class ChunkSealer {
 public:
  ChunkSealer(const SecretKey& pack_key, int compression_level);
  // Writes at most stored_size_limit(content.size()) bytes to `into`; returns how many.
  std::size_t seal(std::uint64_t nonce, ByteView additional, ByteView content, MutableByteView into);
  // The same in two steps, for who looks at the size in between: the compressed form, valid until the next
  // call, and its seal.
  [[nodiscard]] ByteView form(ByteView content);
  std::size_t seal_form(std::uint64_t nonce, ByteView additional, ByteView form, MutableByteView into);
  void set_level(int level) { compressor_.set_level(level); }

 private:
  MutableByteView scratch(std::size_t size);

  Aead aead_;
  Compressor compressor_;
  Buffer scratch_;
};

// Opens a chunk or a directory into `plain` (which grows as needed and is kept by the caller for the next
// one). Error: damaged; the message lacks the place, which only the caller knows.
struct OpenedChunk {
  bool compressed = false;
  std::size_t content_size = 0;
  ByteView stored_content;  // in `plain`
};
Result<OpenedChunk> unseal_chunk(Aead& aead, std::uint64_t nonce, ByteView additional, ByteView stored,
                                 Bytes& plain);
// What an unsealed chunk says of itself. Error: damaged.
Result<OpenedChunk> parse_chunk_form(ByteView plain);
// `into` is exactly content_size long. Error: damaged.
Result<void> extract_content(Decompressor& decompressor, const OpenedChunk& chunk, MutableByteView into);

// Opens the chunk at `offset` and returns its content's size, at most into.size(). Error: damaged, naming
// `pack`.
struct ChunkPlace {
  std::string_view pack;  // name relative to the cluster's space
  std::uint64_t offset = 0;
};
Result<std::size_t> open_chunk(Aead& aead, Decompressor& decompressor, const ChunkPlace& place,
                               ByteView stored, Bytes& plain, MutableByteView into);

inline constexpr std::size_t pack_directory_entry_size_bytes = 24;
// More chunks than this are refused; it bounds what a reader allocates for a directory (12 MiB).
inline constexpr std::size_t max_pack_chunks = 512U << 10;

[[nodiscard]] Bytes write_pack_directory(const std::vector<PackDirectoryEntry>& entries);
// Chunks lie back to back from the header to `directory_offset`. Error: damaged.
Result<std::vector<PackDirectoryEntry>> parse_pack_directory(ByteView content,
                                                             std::uint64_t directory_offset);

inline constexpr std::size_t pack_footer_size_bytes = 20;
struct PackFooter {
  std::uint64_t directory_offset = 0;
  std::uint32_t directory_stored_size = 0;
};
[[nodiscard]] Bytes write_pack_footer(const PackFooter& footer);
// `pack_size` is that of the whole object; the footer ends it. Error: damaged.
Result<PackFooter> parse_pack_footer(ByteView footer, std::uint64_t pack_size);

// What the directory's seal is bound to, beside its offset: the pack's header and name.
[[nodiscard]] Bytes pack_directory_binding(ByteView header, std::string_view name);

}  // namespace pgstrata
