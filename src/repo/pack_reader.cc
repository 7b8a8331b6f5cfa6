#include <algorithm>

#include "repo/chunk_run.h"
#include "repo/pack.h"
#include "repo/past_copies.h"

namespace pgstrata {
namespace {

// Read from the end of a pack at once: footer and, nearly always, directory.
constexpr std::size_t tail_size_bytes = 64U << 10;
// Footer and any directory.
constexpr std::uint64_t tail_size_bytes_max = 16U << 20;

// A pack's clear-text parts and its directory as stored.
struct PackFrame {
  Bytes header;
  PackId id;
  std::uint64_t size_bytes = 0;
  PackFooter footer;
  Bytes sealed_directory;
};

std::unexpected<Error> damaged_pack(std::string_view name, const Error& why) {
  return fail(ErrorCode::damaged, "pack \"{}\" is damaged: {}", name, why.message());
}

Result<Bytes> read_range(ObjectStore& store, std::string_view name, std::uint64_t offset, std::size_t size) {
  Bytes bytes(size);
  PGS_CHECK(store.read(name, offset, bytes));
  return bytes;
}

Result<PackFrame> read_frame(ObjectStore& store, std::string_view name, PackKind kind) {
  PGS_TRY(const ObjectInfo info, store.stat(name));
  PackFrame frame;
  frame.size_bytes = info.size_bytes;
  const auto tail_size = static_cast<std::size_t>(std::min<std::uint64_t>(info.size_bytes, tail_size_bytes));
  const std::uint64_t tail_offset = info.size_bytes - tail_size;
  PGS_TRY(const Bytes tail, read_range(store, name, tail_offset, tail_size));
  if (tail_offset == 0) {
    frame.header.assign(tail.begin(), tail.begin() + std::min(tail.size(), object_header_size_bytes));
  } else {
    PGS_TRY(frame.header, read_range(store, name, 0, object_header_size_bytes));
  }
  PGS_TRY(frame.id.bytes,
          read_object_header(frame.header, pack_magic, static_cast<std::uint8_t>(kind), name));

  const std::size_t footer_size = std::min(tail.size(), pack_footer_size_bytes);
  auto footer = parse_pack_footer(ByteView(tail).last(footer_size), info.size_bytes);
  if (!footer.has_value()) return damaged_pack(name, footer.error());
  frame.footer = *footer;
  if (footer->directory_offset >= tail_offset) {
    const auto at = static_cast<std::size_t>(footer->directory_offset - tail_offset);
    frame.sealed_directory = to_bytes(ByteView(tail).subspan(at, footer->directory_stored_size));
  } else {
    PGS_TRY(frame.sealed_directory,
            read_range(store, name, footer->directory_offset, footer->directory_stored_size));
  }
  return frame;
}

Result<std::vector<PackDirectoryEntry>> open_directory(const PackFrame& frame, const SecretKey& key,
                                                       std::string_view name) {
  Aead aead(key);
  Bytes plain;
  PGS_TRY(const OpenedChunk directory,
          unseal_chunk(aead, frame.footer.directory_offset, pack_directory_binding(frame.header, name),
                       frame.sealed_directory, plain)
              .context("directory"));
  Bytes content(directory.content_size);
  Decompressor decompressor;
  PGS_CHECK(extract_content(decompressor, directory, content));
  return parse_pack_directory(content, frame.footer.directory_offset);
}

bool forget_frame_copies(ObjectStore& store, std::string_view name) {
  const auto info = store.stat(name);
  if (!info) return false;
  const std::uint64_t tail_size = std::min(info->size_bytes, tail_size_bytes_max);
  const bool header = store.forget_copies(name, 0, object_header_size_bytes);
  return store.forget_copies(name, info->size_bytes - tail_size, tail_size) || header;
}

}  // namespace

PackReader::PackReader(ObjectStore& store, std::string object_name, const SecretKey& key, std::string name)
    : store_(&store), object_name_(std::move(object_name)), opener_(key, std::move(name)) {}

Result<PackReader> PackReader::open(const ClusterSpace& space, std::string name, PackKind kind) {
  std::string object_name = space.object_name(name);
  return open_frame(space.store(), std::move(object_name), std::move(name), kind,
                    [&](const PackId& id) { return pack_key(space, id); });
}

Result<PackReader> PackReader::open_of_snapshot(const ClusterSpace& space, const std::string& name) {
  auto data = open(space, name, PackKind::data);
  if (data || data.error().code() != ErrorCode::damaged) return data;
  auto map = open(space, name, PackKind::map);
  return map ? std::move(map) : std::move(data);
}

Result<PackReader> PackReader::open_with_key(ObjectStore& store, std::string_view cluster_name,
                                             std::string name, PackKind kind, const SecretKey& key) {
  std::string object_name = cluster_object_name(cluster_name, name);
  return open_frame(store, std::move(object_name), std::move(name), kind, [&](const PackId&) { return key; });
}

Result<PackReader> PackReader::open_frame(ObjectStore& store, std::string object_name, std::string name,
                                          PackKind kind,
                                          const std::function<SecretKey(const PackId&)>& key_of) {
  auto reader = open_frame_once(store, object_name, name, kind, key_of);
  const bool wrong = !reader.has_value() && may_be_wrong_copy(reader.error());
  if (!wrong || !forget_frame_copies(store, object_name)) return reader;
  return open_frame_once(store, std::move(object_name), std::move(name), kind, key_of);
}

Result<PackReader> PackReader::open_frame_once(ObjectStore& store, std::string object_name, std::string name,
                                               PackKind kind,
                                               const std::function<SecretKey(const PackId&)>& key_of) {
  PGS_TRY(const PackFrame frame, read_frame(store, object_name, kind));
  const SecretKey key = key_of(frame.id);
  auto directory = open_directory(frame, key, name);
  if (!directory.has_value()) {
    return fail(ErrorCode::damaged, "pack \"{}\" is damaged: {}", object_name, directory.error().describe());
  }
  PackReader reader(store, std::move(object_name), key, std::move(name));
  reader.id_ = frame.id;
  reader.size_bytes_ = frame.size_bytes;
  reader.directory_ = *std::move(directory);
  return reader;
}

Result<void> PackReader::read(const PackDirectoryEntry& entry, MutableByteView into) {
  PGS_ASSERT(into.size() >= entry.content_size);
  scratch_.resize(std::max<std::size_t>(scratch_.size(), entry.location.stored_size));
  const MutableByteView stored = MutableByteView(scratch_).first(entry.location.stored_size);
  const auto read = [&]() -> Result<void> {
    PGS_CHECK(store_->read(object_name_, entry.location.offset, stored));
    return open_entry(entry, stored, into);
  };
  return read_past_copies(*store_, object_name_, entry.location.offset, stored.size(), read);
}

Result<void> PackReader::open_entry(const PackDirectoryEntry& entry, ByteView stored, MutableByteView into) {
  PGS_TRY(const std::size_t size,
          opener_.open(entry.location.offset, stored, into.first(entry.content_size)));
  if (size != entry.content_size) {
    return fail(ErrorCode::damaged, "chunk at offset {} of pack \"{}\" is damaged: it holds {} bytes, not {}",
                entry.location.offset, object_name_, size, entry.content_size);
  }
  return {};
}

Result<void> PackReader::read_all(const UseChunk& use, const OnDamagedChunk& on_damage) {
  return read_entries(directory_, use, on_damage);
}

Result<void> PackReader::read_entries(std::span<const PackDirectoryEntry> entries, const UseChunk& use,
                                      const OnDamagedChunk& on_damage) {
  Buffer stored;
  Buffer content;
  for (std::size_t index = 0; index < entries.size();) {
    const ChunkRun run = first_run(entries.subspan(index), [](const auto& entry) { return entry.location; });
    const MutableByteView bytes = ensure(stored, run.size_bytes);
    PGS_CHECK(store_->read(object_name_, run.offset, bytes));
    ByteView rest = bytes;
    for (const std::size_t end = index + run.chunks; index < end; ++index) {
      const PackDirectoryEntry& entry = entries[index];
      const MutableByteView into = ensure(content, entry.content_size);
      const auto [offset, stored_size] = entry.location;
      auto opened = open_entry(entry, rest.first(stored_size), into);
      rest = rest.subspan(stored_size);
      if (!opened && store_->forget_copies(object_name_, offset, stored_size)) opened = read(entry, into);
      if (opened.has_value()) {
        PGS_CHECK(use(entry, into));
      } else if (on_damage) {
        on_damage(entry, opened.error());
      } else {
        return opened;
      }
    }
  }
  return {};
}

}  // namespace pgstrata
