#include "snapshot/chunk_index.h"

#include "codec/endian.h"

namespace pgstrata {

namespace {
constexpr std::size_t first_capacity = 1024;  // a power of two
}

std::size_t ChunkIndex::PackIdHash::operator()(const PackId& id) const noexcept {
  return static_cast<std::size_t>(load_little<std::uint64_t>(id.bytes.data() + 8));
}

ChunkIndex::ChunkIndex(std::size_t limit) : limit_(limit), slots_(first_capacity) {}

// Tags are uniformly distributed: eight of their bytes are hash enough.
std::size_t ChunkIndex::slot_of(const ContentTag& tag) const {
  const std::size_t mask = slots_.size() - 1;
  auto at = static_cast<std::size_t>(load_little<std::uint64_t>(tag.data())) & mask;
  while (slots_[at].stored_size != 0 && slots_[at].tag != tag) at = (at + 1) & mask;
  return at;
}

void ChunkIndex::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const auto& slot : old) {
    if (slot.stored_size != 0) slots_[slot_of(slot.tag)] = slot;
  }
}

void ChunkIndex::insert(const ContentTag& tag, const ChunkRef& ref) {
  const std::lock_guard lock(mutex_);
  if (size_ >= limit_) return;
  if (size_ * 4 >= slots_.size() * 3) grow();
  auto& slot = slots_[slot_of(tag)];
  if (slot.stored_size != 0) return;
  const auto [number, added] = pack_numbers_.try_emplace(ref.pack, static_cast<std::uint32_t>(packs_.size()));
  if (added) packs_.push_back(ref.pack);
  slot = {tag, number->second, ref.location.stored_size, ref.location.offset};
  ++size_;
}

std::optional<ChunkRef> ChunkIndex::find(const ContentTag& tag) const {
  const std::lock_guard lock(mutex_);
  const auto& slot = slots_[slot_of(tag)];
  if (slot.stored_size == 0) return std::nullopt;
  return ChunkRef{packs_[slot.pack], {slot.offset, slot.stored_size}};
}

std::size_t ChunkIndex::size() const {
  const std::lock_guard lock(mutex_);
  return size_;
}

}  // namespace pgstrata
