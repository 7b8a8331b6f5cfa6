// Packs: immutable objects of many chunks. Format: docs/formats/pack.md.
//
//   header | chunk | chunk | ... | directory | footer
//
// A chunk is content compressed (when that helps) and sealed with AES-256-GCM under the pack's key; its nonce
// is its offset, its additional data the pack's name, so a chunk opens only where it was written. The
// directory at the end lists every chunk with its content tag: it lets an interrupted backup find what it had
// stored, and verify and garbage collection read a pack without knowing who refers to it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codec/aead.h"
#include "codec/compression.h"
#include "repo/repository.h"

namespace pgstrata {

enum class PackKind : std::uint8_t {
  data = 1,  // extents of files
  map = 2,   // nodes of file trees and page maps
  wal = 3,   // one WAL segment and its index
};

// A pack's id is drawn anew for each pack and is what its key is derived from. The first six bytes are the
// creation time in milliseconds (big-endian), so names sort by age; the rest is random.
struct PackId {
  std::array<std::byte, 16> bytes{};
  auto operator<=>(const PackId&) const = default;
};
[[nodiscard]] PackId new_pack_id(const Clock& clock);
[[nodiscard]] Timestamp created(const PackId& id);      // by the clock of who made it
[[nodiscard]] std::string to_string(const PackId& id);  // 32 hexadecimal digits
[[nodiscard]] Result<PackId> parse_pack_id(std::string_view text);
// "packs/ID": where data and map packs live in a cluster's space.
[[nodiscard]] std::string pack_name(const PackId& id);

// All that a cluster's space holds, with their sizes: 0 where the content is gone. What bears another name is none. Errors: those
// of the store.
Result<std::map<PackId, std::uint64_t>> list_packs(const ClusterSpace& space);

struct ChunkLocation {
  std::uint64_t offset = 0;       // in the pack
  std::uint32_t stored_size = 0;  // in the pack, its authentication tag included
  auto operator<=>(const ChunkLocation&) const = default;
};

// Where a chunk is: all that a map needs to say.
struct ChunkRef {
  PackId pack;
  ChunkLocation location;
  auto operator<=>(const ChunkRef&) const = default;
};

struct PackDirectoryEntry {
  ChunkLocation location;
  std::uint32_t content_size = 0;
  ContentTag tag{};
};

// The largest content of one chunk.
inline constexpr std::size_t max_chunk_content_bytes = 4U << 20;

// Writes one pack. Belongs to one thread; nothing is visible until commit. Dropping it abandons the pack.
class PackWriter {
 public:
  // `name` is relative to the cluster's space: pack_name(id), or a WAL segment's name.
  static Result<PackWriter> create(const ClusterSpace& space, PackKind kind, const PackId& id,
                                   std::string name, int compression_level);
  PackWriter(PackWriter&&) noexcept;
  PackWriter& operator=(PackWriter&&) noexcept;
  ~PackWriter();

  // Compresses, seals and writes. `tag` is the content's tag under the cluster's tag key.
  // Errors: usage (more than max_chunk_content_bytes, or a chunk more than the 524,288 that a pack may have);
  // those of the store, after which the pack is given up: every later call fails.
  Result<ChunkLocation> append(ByteView content, const ContentTag& tag);
  // The same for content that is of use only when it takes at most `stored_size_max` bytes of the pack; when
  // it would take more, nothing is written and nothing returned.
  Result<std::optional<ChunkLocation>> append_within(std::size_t stored_size_max, ByteView content,
                                                     const ContentTag& tag);
  void set_compression_level(int level);

  [[nodiscard]] const PackId& id() const;
  // Bytes written so far.
  [[nodiscard]] std::uint64_t size_bytes() const;
  // Writes directory and footer, makes the pack durable and visible. To be called once, the last call.
  // Errors: already_exists; those of the store, after which the pack is given up.
  Result<void> commit();

 private:
  struct State;
  explicit PackWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Opens chunks of one pack given its key. Belongs to one thread. Knows no store: the caller reads the bytes.
class ChunkOpener {
 public:
  // `name` as given to PackWriter::create.
  ChunkOpener(const SecretKey& pack_key, std::string name);

  // Opens and decompresses; returns the content's size, which is at most into.size().
  // Error: damaged (names pack and offset).
  Result<std::size_t> open(std::uint64_t offset, ByteView stored, MutableByteView into);

 private:
  Aead aead_;
  Decompressor decompressor_;
  std::string name_;
  Bytes scratch_;
};

// What opens every chunk of one pack, and nothing else.
[[nodiscard]] SecretKey pack_key(const ClusterSpace& space, const PackId& id);

// Reads chunks by reference, keeping the keys of the packs it last used. Belongs to one thread.
class ChunkReader {
 public:
  explicit ChunkReader(const ClusterSpace& space);
  ~ChunkReader();
  ChunkReader(ChunkReader&&) noexcept;
  ChunkReader& operator=(ChunkReader&&) noexcept;

  // Returns the content's size. Error: damaged (also when the content is larger than `into`, or the pack is
  // missing: named).
  Result<std::size_t> read(const ChunkRef& ref, MutableByteView into);
  // Chunks of one pack, those that lie back to back in one request of up to 4 MiB: the fast path of restore.
  // `locations` ascend; content is handed out in order with its index in `locations`, and is valid only
  // during the call. Errors: as for read; those of `use`, which end it.
  Result<void> read_run(const PackId& pack, std::span<const ChunkLocation> locations,
                        const std::function<Result<void>(std::size_t index, ByteView content)>& use);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A pack as an object, for WAL segments, verify and recovery of interrupted work. Belongs to one thread.
// Borrows the store.
class PackReader {
 public:
  // Reads header, footer and directory. Errors: not_found, damaged, newer_format.
  static Result<PackReader> open(const ClusterSpace& space, std::string name, PackKind kind);
  // One of a snapshot: of data or of maps, whichever it is. Errors: as for open.
  static Result<PackReader> open_of_snapshot(const ClusterSpace& space, const std::string& name);
  // The same with the pack's key alone, no cluster key: what recovery is handed to fetch WAL with.
  // `cluster_name` and `name` as the pack was written.
  static Result<PackReader> open_with_key(ObjectStore& store, std::string_view cluster_name, std::string name,
                                          PackKind kind, const SecretKey& key);

  [[nodiscard]] const PackId& id() const { return id_; }
  [[nodiscard]] const std::vector<PackDirectoryEntry>& directory() const { return directory_; }
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // Content of one of the directory's entries; `into` is at least its content_size. Errors: damaged;
  // not_found.
  Result<void> read(const PackDirectoryEntry& entry, MutableByteView into);
  using UseChunk = std::function<Result<void>(const PackDirectoryEntry&, ByteView content)>;
  using OnDamagedChunk = std::function<void(const PackDirectoryEntry&, const Error&)>;
  // Reads every chunk back, in order, in large requests. The first damaged chunk ends it with its error,
  // unless `on_damage` is given: then that is told and reading goes on. Errors of the store and of `use` end
  // it.
  Result<void> read_all(const UseChunk& use, const OnDamagedChunk& on_damage = {});
  // The same for some of the directory's entries that follow each other.
  Result<void> read_entries(std::span<const PackDirectoryEntry> entries, const UseChunk& use,
                            const OnDamagedChunk& on_damage = {});

 private:
  PackReader(ObjectStore& store, std::string object_name, const SecretKey& key, std::string name);
  static Result<PackReader> open_frame(ObjectStore& store, std::string object_name, std::string name,
                                       PackKind kind, const std::function<SecretKey(const PackId&)>& key_of);
  static Result<PackReader> open_frame_once(ObjectStore& store, std::string object_name, std::string name,
                                            PackKind kind,
                                            const std::function<SecretKey(const PackId&)>& key_of);
  Result<void> open_entry(const PackDirectoryEntry& entry, ByteView stored, MutableByteView into);

  ObjectStore* store_;
  std::string object_name_;
  ChunkOpener opener_;
  PackId id_;
  std::uint64_t size_bytes_ = 0;
  std::vector<PackDirectoryEntry> directory_;
  Bytes scratch_;
};

}  // namespace pgstrata
