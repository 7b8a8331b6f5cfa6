// Reading packs and remembering which of their chunks do not authenticate. Internal to this room.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "base/cancellation.h"
#include "repo/damage.h"
#include "repo/pack.h"

namespace pgstrata {

// Damage that reading again does not mend: what is missing, and what was read and is wrong (is_lasting_damage).
[[nodiscard]] bool is_lasting_loss(const Error& error);

// Of damage that need not last, what its error says is to be done; else nothing.
[[nodiscard]] std::string cure_of(const Error& error);

struct PackDamage {
  std::string what;
  bool whole = false;                         // no chunk of it can be trusted to be there
  bool lasting = false;                       // is_lasting_loss of the whole, or of one of the chunks
  std::map<std::uint64_t, bool> chunks = {};  // the damaged ones by their offset, and whether that is lasting
  ErrorCode code = ErrorCode::damaged;        // also not_found, newer_format
  std::string cure = {};                      // as cure_of
  bool operator==(const PackDamage&) const = default;
};

struct ChunkFault {
  std::string what;
  bool lasting = true;
};

// How much of the content is read, beside what says where it is.
struct ContentSample {
  double percent = 100;  // 0: none
  std::uint64_t seed =
      0;  // of the choice: by runs of chunks that lie side by side, and by whole segments of WAL
};

struct PackCheck {
  std::map<PackId, PackDamage> damaged;
  // Where the chunks of each pack are that could be opened, sorted: 16 bytes a chunk.
  std::map<PackId, std::vector<ChunkLocation>> chunks;
  std::uint64_t chunks_read = 0;
  std::uint64_t chunks_total = 0;  // of the packs that could be opened

  // What is wrong with this chunk: it was read and is damaged, or it is not among what the packs have. Nothing
  // when it is sound as far as it was read.
  [[nodiscard]] std::optional<ChunkFault> fault_of(const ChunkRef& ref) const;
  // Its pack is there, and what says which chunks it has is damaged for good: the chunk itself may be sound.
  [[nodiscard]] bool is_only_unlisted(const ChunkRef& ref) const;
};

struct PackCheckOptions {
  ContentSample sample;
  unsigned workers = 1;
  std::function<void(std::uint64_t bytes_read)> on_pack = {};  // after each pack, by one thread at a time
};

// Errors: cancelled, and those of a store that answers nothing at all (unavailable, permission).
Result<PackCheck> check_packs(const ClusterSpace& space, const std::vector<PackId>& packs,
                              const PackCheckOptions& options, const Cancellation& cancellation);

}  // namespace pgstrata
