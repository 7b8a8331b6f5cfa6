#include "repo/pack_format.h"

#include <algorithm>

#include "codec/digest.h"
#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::uint8_t method_raw = 0;
constexpr std::uint8_t method_zstd = 1;
constexpr int method_shift_bits = 24;
constexpr std::uint32_t size_mask = (1U << method_shift_bits) - 1;

constexpr std::string_view footer_magic = "PGSE";

void store_prefix(std::byte* to, std::uint8_t method, std::size_t content_size) {
  const std::uint32_t prefix =
      (std::uint32_t{method} << method_shift_bits) | static_cast<std::uint32_t>(content_size);
  for (std::size_t i = 0; i < chunk_prefix_size_bytes; ++i) to[i] = static_cast<std::byte>(prefix >> (8 * i));
}

}  // namespace

ChunkSealer::ChunkSealer(const SecretKey& pack_key, int compression_level)
    : aead_(pack_key), compressor_(compression_level) {}

MutableByteView ChunkSealer::scratch(std::size_t size) {
  if (scratch_.capacity() < size) scratch_ = Buffer(size);
  return scratch_.whole();
}

ByteView ChunkSealer::form(ByteView content) {
  PGS_ASSERT(content.size() <= max_chunk_form_content_bytes);
  const MutableByteView plain =
      scratch(chunk_prefix_size_bytes + std::max(Compressor::bound(content.size()), content.size()));
  const MutableByteView body = plain.subspan(chunk_prefix_size_bytes);
  std::size_t body_size = compressor_.compress(content, body);
  std::uint8_t method = method_zstd;
  if (body_size >= content.size()) {
    method = method_raw;
    body_size = content.size();
    std::ranges::copy(content, body.begin());
  }
  store_prefix(plain.data(), method, content.size());
  return plain.first(chunk_prefix_size_bytes + body_size);
}

std::size_t ChunkSealer::seal_form(std::uint64_t nonce, ByteView additional, ByteView form,
                                   MutableByteView into) {
  const std::size_t stored_size = form.size() + Aead::tag_size_bytes;
  PGS_ASSERT(stored_size <= into.size());
  aead_.seal(nonce, additional, form, into.first(stored_size));
  return stored_size;
}

std::size_t ChunkSealer::seal(std::uint64_t nonce, ByteView additional, ByteView content,
                              MutableByteView into) {
  return seal_form(nonce, additional, form(content), into);
}

Result<OpenedChunk> parse_chunk_form(ByteView plain) {
  ByteReader reader(plain);
  const std::uint32_t prefix = reader.u32();
  if (reader.failed()) return fail(ErrorCode::damaged, "too short");
  OpenedChunk chunk{.compressed = false,
                    .content_size = prefix & size_mask,
                    .stored_content = plain.subspan(chunk_prefix_size_bytes)};
  const std::uint32_t method = prefix >> method_shift_bits;
  if (method > method_zstd) return fail(ErrorCode::damaged, "unknown method {}", method);
  chunk.compressed = method == method_zstd;
  if (!chunk.compressed && chunk.stored_content.size() != chunk.content_size) {
    return fail(ErrorCode::damaged, "holds {} bytes where it says {}", chunk.stored_content.size(),
                chunk.content_size);
  }
  return chunk;
}

Result<OpenedChunk> unseal_chunk(Aead& aead, std::uint64_t nonce, ByteView additional, ByteView stored,
                                 Bytes& plain) {
  if (stored.size() < chunk_overhead_bytes) return fail(ErrorCode::damaged, "too short");
  const std::size_t plain_size = stored.size() - Aead::tag_size_bytes;
  if (plain.size() < plain_size) plain.resize(plain_size);
  if (!aead.open(nonce, additional, stored, MutableByteView(plain).first(plain_size)).has_value()) {
    return fail(ErrorCode::damaged, "does not authenticate");
  }
  return parse_chunk_form(ByteView(plain).first(plain_size));
}

Result<void> extract_content(Decompressor& decompressor, const OpenedChunk& chunk, MutableByteView into) {
  PGS_ASSERT(into.size() == chunk.content_size);
  if (chunk.compressed) return decompressor.decompress(chunk.stored_content, into);
  std::ranges::copy(chunk.stored_content, into.begin());
  return {};
}

Result<std::size_t> open_chunk(Aead& aead, Decompressor& decompressor, const ChunkPlace& place,
                               ByteView stored, Bytes& plain, MutableByteView into) {
  const auto damaged = [&](std::string_view why) {
    return fail(ErrorCode::damaged, "chunk at offset {} of pack \"{}\" is damaged: {}", place.offset,
                place.pack, why);
  };
  auto chunk = unseal_chunk(aead, place.offset, as_byte_view(place.pack), stored, plain);
  if (!chunk.has_value()) return damaged(chunk.error().message());
  if (chunk->content_size > into.size()) {
    return damaged(
        fmt::format("it holds {} bytes where at most {} are expected", chunk->content_size, into.size()));
  }
  auto extracted = extract_content(decompressor, *chunk, into.first(chunk->content_size));
  if (!extracted.has_value()) return damaged(extracted.error().message());
  return chunk->content_size;
}

Bytes write_pack_directory(const std::vector<PackDirectoryEntry>& entries) {
  ByteWriter writer;
  for (const PackDirectoryEntry& entry : entries) {
    writer.u32(entry.location.stored_size);
    writer.u32(entry.content_size);
    writer.bytes(entry.tag);
  }
  return writer.take();
}

Result<std::vector<PackDirectoryEntry>> parse_pack_directory(ByteView content,
                                                             std::uint64_t directory_offset) {
  const std::size_t count = content.size() / pack_directory_entry_size_bytes;
  if (content.size() % pack_directory_entry_size_bytes != 0 || count > max_pack_chunks) {
    return fail(ErrorCode::damaged, "its directory has {} bytes", content.size());
  }
  ByteReader reader(content);
  std::vector<PackDirectoryEntry> entries(count);
  std::uint64_t offset = object_header_size_bytes;
  for (PackDirectoryEntry& entry : entries) {
    entry.location = {.offset = offset, .stored_size = reader.u32()};
    entry.content_size = reader.u32();
    std::ranges::copy(reader.bytes(entry.tag.size()), entry.tag.begin());
    if (entry.content_size > max_chunk_content_bytes || entry.location.stored_size < chunk_overhead_bytes ||
        entry.location.stored_size > stored_size_limit(entry.content_size)) {
      return fail(ErrorCode::damaged, "its directory has a chunk of {} bytes stored in {}",
                  entry.content_size, entry.location.stored_size);
    }
    offset += entry.location.stored_size;
  }
  if (offset != directory_offset) {
    return fail(ErrorCode::damaged, "its directory lists chunks up to {} where they end at {}", offset,
                directory_offset);
  }
  return entries;
}

Bytes write_pack_footer(const PackFooter& footer) {
  ByteWriter writer;
  writer.u64(footer.directory_offset);
  writer.u32(footer.directory_stored_size);
  writer.bytes(as_byte_view(footer_magic));
  writer.u32(crc32c_finish(crc32c_extend(crc32c_begin, writer.view())));
  return writer.take();
}

Result<PackFooter> parse_pack_footer(ByteView footer, std::uint64_t pack_size) {
  ByteReader reader(footer);
  PackFooter parsed;
  parsed.directory_offset = reader.u64();
  parsed.directory_stored_size = reader.u32();
  const bool magic_right = std::ranges::equal(reader.bytes(footer_magic.size()), as_byte_view(footer_magic));
  const std::uint32_t crc = crc32c_finish(crc32c_extend(crc32c_begin, footer.first(reader.position())));
  if (reader.u32() != crc || !reader.finished() || !magic_right) {
    return fail(ErrorCode::damaged, "its end is not that of a pack");
  }
  constexpr std::uint64_t least_size =
      object_header_size_bytes + chunk_overhead_bytes + pack_footer_size_bytes;
  constexpr std::size_t directory_limit = max_pack_chunks * pack_directory_entry_size_bytes;
  if (pack_size < least_size || parsed.directory_offset < object_header_size_bytes ||
      parsed.directory_offset > pack_size - pack_footer_size_bytes ||
      parsed.directory_stored_size != pack_size - pack_footer_size_bytes - parsed.directory_offset ||
      parsed.directory_stored_size < chunk_overhead_bytes ||
      parsed.directory_stored_size > stored_size_limit(directory_limit)) {
    return fail(ErrorCode::damaged, "its footer places the directory at {} with {} bytes in a pack of {}",
                parsed.directory_offset, parsed.directory_stored_size, pack_size);
  }
  return parsed;
}

Bytes pack_directory_binding(ByteView header, std::string_view name) {
  Bytes binding = to_bytes(header.first(object_header_size_bytes));
  append(binding, as_byte_view(name));
  return binding;
}

}  // namespace pgstrata
