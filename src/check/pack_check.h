// Reading packs whole and remembering which of their chunks do not authenticate. Internal to this room.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "base/cancellation.h"
#include "repo/pack.h"

namespace pgstrata {

struct PackDamage {
  std::string what;
  bool whole = false;                   // no chunk of it can be trusted to be there
  std::set<std::uint64_t> offsets;      // of the damaged chunks
  ErrorCode code = ErrorCode::damaged;  // also not_found, newer_format
  std::string cure = {};                // as cure_of
};

struct PackCheck {
  std::map<PackId, PackDamage> damaged;
  // Where the chunks of each pack are that could be opened, sorted: 16 bytes a chunk.
  std::map<PackId, std::vector<ChunkLocation>> chunks;
  std::uint64_t bytes_read = 0;

  // What is wrong with this chunk: it was read and is damaged, or it is not among what was read. Empty when
  // it is sound.
  [[nodiscard]] std::string fault_of(const ChunkRef& ref) const;
};

// `on_pack` is told after each pack, by one thread at a time. Errors: cancelled, and those of a store that
// answers nothing at all (unavailable, permission).
Result<PackCheck> check_packs(const ClusterSpace& space, const std::vector<PackId>& packs, unsigned workers,
                              const Cancellation& cancellation,
                              const std::function<void(std::uint64_t bytes)>& on_pack);

// Damage of what is stored, lasting or not (cure_of), as against a store that gives no answer.
[[nodiscard]] bool is_damage(const Error& error);

// Of damage that need not last, what its error says is to be done; else nothing.
[[nodiscard]] std::string cure_of(const Error& error);

}  // namespace pgstrata
