// Chunks known by the tag of their content: what an interrupted backup stored, what this one stored, the
// nodes of the snapshot before. Bounded: once full it learns nothing new, and what it does not know is stored
// again. Thread-safe.
#pragma once

#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "repo/pack.h"

namespace pgstrata {

class ChunkIndex {
 public:
  // 32 bytes each, at most twice that in the table: 40 MiB, 80 GiB of extents.
  static constexpr std::size_t default_limit = 640 * 1024;

  explicit ChunkIndex(std::size_t limit = default_limit);

  void insert(const ContentTag& tag, const ChunkRef& ref);
  [[nodiscard]] std::optional<ChunkRef> find(const ContentTag& tag) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Slot {
    ContentTag tag{};
    std::uint32_t pack = 0;
    std::uint32_t stored_size = 0;  // zero: empty
    std::uint64_t offset = 0;
  };
  struct PackIdHash {
    std::size_t operator()(const PackId& id) const noexcept;
  };

  // The slot of `tag`, or the empty one where it belongs.
  [[nodiscard]] std::size_t slot_of(const ContentTag& tag) const;
  void grow();

  mutable std::mutex mutex_;
  // All below guarded by mutex_.
  std::size_t limit_;
  std::size_t size_ = 0;
  std::vector<Slot> slots_;
  std::vector<PackId> packs_;
  std::unordered_map<PackId, std::uint32_t, PackIdHash> pack_numbers_;
};

}  // namespace pgstrata
