#include "snapshot/chunk_store.h"

#include "base/log.h"
#include "catalog/condemned.h"
#include "pg/format/page.h"
#include "snapshot/extent_difference.h"

namespace pgstrata {

Result<std::unique_ptr<ChunkStore>> ChunkStore::open(const ClusterSpace& space, const Clock& clock) {
  auto store = std::unique_ptr<ChunkStore>(new ChunkStore(space, clock));
  PGS_TRY(const Condemned condemned, load_condemned(space));
  PGS_TRY(const auto packs, list_packs(space));
  for (const auto& [id, size_bytes] : packs) {
    if (size_bytes > 0 && !condemned.packs.contains(id)) store->existing_.insert(id);
  }
  return store;
}

Result<std::size_t> ChunkStore::adopt_unreferenced(const std::set<PackId>& referenced) {
  std::size_t adopted = 0;
  for (const auto& id : existing_) {
    if (referenced.contains(id)) continue;
    const auto pack = PackReader::open_of_snapshot(space_, pack_name(id));
    if (!pack) {
      log_debug("left alone pack {}: {}", to_string(id), pack.error().describe());
      continue;
    }
    for (const auto& entry : pack->directory()) index_.insert(entry.tag, {id, entry.location});
    ++adopted;
  }
  return adopted;
}

void ChunkStore::leave(const std::set<PackId>& packs) {
  std::erase_if(existing_, [&](const PackId& id) { return packs.contains(id); });
}

void ChunkStore::learn(const ContentTag& tag, const ChunkRef& ref) {
  if (has_pack(ref.pack)) index_.insert(tag, ref);
}

ChunkWriter::ChunkWriter(ChunkStore& store, PackKind kind)
    : store_(store), kind_(kind), tagger_(store.space_.tag_key()) {}

void ChunkWriter::note_pack(const PackId& pack) {
  if (last_pack_ == pack) return;
  packs_.insert(pack);
  last_pack_ = pack;
}

Result<ChunkRef> ChunkWriter::put(ByteView content, const ContentTag& tag, int compression_level) {
  PGS_TRY(const auto ref, find_or_append(content, tag, SIZE_MAX, compression_level));
  PGS_ASSERT(ref.has_value());
  return *ref;
}

// Nothing when it is nowhere and would take more than `stored_size_max`.
Result<std::optional<ChunkRef>> ChunkWriter::find_or_append(ByteView content, const ContentTag& tag,
                                                            std::size_t stored_size_max,
                                                            int compression_level) {
  if (const auto known = store_.index_.find(tag)) {
    note_pack(known->pack);
    return known;
  }
  if (!pack_) {
    const auto id = new_pack_id(store_.clock_);
    PGS_TRY(auto pack,
            PackWriter::create(store_.space_, kind_, id, pack_name(id), snapshot_compression_level));
    pack_.emplace(std::move(pack));
  }
  pack_->set_compression_level(compression_level);
  PGS_TRY(const auto location, pack_->append_within(stored_size_max, content, tag));
  if (!location) return std::nullopt;
  const ChunkRef ref{pack_->id(), *location};
  store_.index_.insert(tag, ref);
  note_pack(ref.pack);
  if (pack_->size_bytes() >= pack_target_bytes) PGS_CHECK(finish());
  return ref;
}

bool ChunkWriter::take_over(const ExtentRef& extent) {
  if (!extent.chunk || !store_.has_pack(extent.chunk->pack)) return false;
  if (extent.difference && !store_.has_pack(extent.difference->pack)) return false;
  note_pack(extent.chunk->pack);
  if (extent.difference) note_pack(extent.difference->pack);
  return true;
}

Result<ExtentRef> ChunkWriter::put_extent(ByteView content, const ExtentRef* previous) {
  if (is_all_zero(content)) return ExtentRef{};
  ExtentRef extent{tag_of(content)};
  if (previous != nullptr && previous->tag == extent.tag && take_over(*previous)) return *previous;
  PGS_TRY(extent.chunk, put(content, extent.tag));
  return extent;
}

Result<ExtentRef> ChunkWriter::put_changed_extent(ByteView content, const ExtentRef& previous,
                                                  ByteView whole) {
  if (is_all_zero(content)) return ExtentRef{};
  ExtentRef extent{tag_of(content)};
  if (previous.tag == extent.tag && take_over(previous)) return previous;
  const bool known = store_.index_.find(extent.tag).has_value();
  if (!known && previous.chunk && store_.has_pack(previous.chunk->pack)) {
    PGS_TRY(const auto changed, put_difference(content, extent.tag, *previous.chunk, whole));
    if (changed) return *changed;
  }
  PGS_TRY(extent.chunk, put(content, extent.tag));
  return extent;
}

// Nothing when the difference would be too large.
Result<std::optional<ExtentRef>> ChunkWriter::put_difference(ByteView content, const ContentTag& tag,
                                                             const ChunkRef& from, ByteView whole) {
  ExtentRef extent{tag, from};
  if (difference_.capacity() == 0) difference_ = Buffer(max_extent_difference_bytes);
  const auto size = encode_extent_difference(whole, content, difference_.whole());
  if (size) {
    const auto encoded = difference_.whole().first(*size);
    PGS_TRY(extent.difference, find_or_append(encoded, tag_of(encoded), from.location.stored_size / 2,
                                              difference_compression_level));
    if (!extent.difference) return std::nullopt;
  }
  note_pack(from.pack);
  return extent;
}

Result<void> ChunkWriter::finish() {
  if (!pack_) return {};
  PGS_CHECK(pack_->commit());
  store_.added_bytes_ += pack_->size_bytes();
  pack_.reset();
  return {};
}

}  // namespace pgstrata
