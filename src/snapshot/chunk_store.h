// Where the chunks of one new snapshot go: found again when the repository has them, else packed.
//
// One ChunkStore per snapshot being made, shared by its threads; one ChunkWriter per thread, each filling a
// pack of its own. A chunk may refer to a pack that another writer has not committed yet: nothing refers to
// any of them until the snapshot's record is published, after every writer's finish().
#pragma once

#include <atomic>
#include <set>
#include <unordered_set>

#include "snapshot/chunk_index.h"
#include "snapshot/page_map.h"

namespace pgstrata {

inline constexpr std::uint64_t pack_target_bytes = 32U << 20;
inline constexpr int snapshot_compression_level = 1;
// Of differences, which are mostly zeros: 430 MB/s instead of 1,800, and 15 % less room.
inline constexpr int difference_compression_level = 6;

// Thread-safe once prepared.
class ChunkStore {
 public:
  // Lists the packs that are there and not condemned: nothing else is ever referred to. Whoever calls holds the lease of those
  // who publish (catalog/condemned.h). Errors: those of load_condemned; those of the store.
  static Result<std::unique_ptr<ChunkStore>> open(const ClusterSpace& space, const Clock& clock);

  // Learns every chunk of the packs that no snapshot refers to: what an interrupted run left. `referenced`
  // are the packs of all snapshots. A pack that cannot be read is passed over. Returns the number of packs
  // learned.
  Result<std::size_t> adopt_unreferenced(const std::set<PackId>& referenced);
  // Learns one chunk, if its pack is there.
  void learn(const ContentTag& tag, const ChunkRef& ref);

  // From now on as if they were not there. Before anything is learned.
  void leave(const std::set<PackId>& packs);

  [[nodiscard]] bool has_pack(const PackId& id) const { return existing_.contains(id); }
  // Bytes of new packs, so far.
  [[nodiscard]] std::uint64_t added_bytes() const { return added_bytes_; }
  [[nodiscard]] const ClusterSpace& space() const { return space_; }

 private:
  friend class ChunkWriter;
  ChunkStore(ClusterSpace space, const Clock& clock) : space_(std::move(space)), clock_(clock) {}

  ClusterSpace space_;
  const Clock& clock_;
  std::set<PackId> existing_;
  ChunkIndex index_;
  std::atomic<std::uint64_t> added_bytes_{0};
};

// Belongs to one thread. Dropping it abandons the pack being filled; what was committed before stays and is
// found again by adopt_unreferenced.
class ChunkWriter {
 public:
  ChunkWriter(ChunkStore& store, PackKind kind);

  [[nodiscard]] ContentTag tag_of(ByteView content) { return tagger_.tag(content); }

  // Returns where content with this tag is, storing it if it is nowhere.
  Result<ChunkRef> put(ByteView content, const ContentTag& tag,
                       int compression_level = snapshot_compression_level);
  // The same for an extent: zeros take no chunk; `previous` is the extent at this place in the last snapshot,
  // if any.
  Result<ExtentRef> put_extent(ByteView content, const ExtentRef* previous);
  // The same for an extent of which a few pages changed since the last snapshot had it as `previous`; `whole`
  // is what ExtentReader::read_whole gives for that. Stored as a difference from `whole`, which stays in its
  // place, unless that takes more than half of what `whole` takes: then it is stored whole.
  Result<ExtentRef> put_changed_extent(ByteView content, const ExtentRef& previous, ByteView whole);

  // Makes everything durable. Nothing may be put after it.
  Result<void> finish();

  // Every pack that what was put refers to.
  [[nodiscard]] const std::set<PackId>& packs() const { return packs_; }

 private:
  // Notes the packs that the extent refers to; false when one of them is not there.
  [[nodiscard]] bool take_over(const ExtentRef& extent);
  Result<std::optional<ChunkRef>> find_or_append(ByteView content, const ContentTag& tag,
                                                 std::size_t stored_size_max, int compression_level);
  Result<std::optional<ExtentRef>> put_difference(ByteView content, const ContentTag& tag,
                                                  const ChunkRef& from, ByteView whole);
  void note_pack(const PackId& pack);

  ChunkStore& store_;
  PackKind kind_;
  ContentTagger tagger_;
  std::optional<PackWriter> pack_;
  std::set<PackId> packs_;
  std::optional<PackId> last_pack_;
  Buffer difference_;  // none before the first changed extent
};

}  // namespace pgstrata
