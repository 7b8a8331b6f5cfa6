// Chunks that lie back to back are read in one request. Internal to the room.
#pragma once

#include <span>

#include "repo/pack_format.h"

namespace pgstrata {

// One request holds as many chunks as fit in this, and at least one.
inline constexpr std::size_t chunk_run_size_bytes = 4U << 20;

struct ChunkRun {
  std::uint64_t offset = 0;
  std::size_t size_bytes = 0;
  std::size_t chunks = 0;
};

// The run that starts with the first of `chunks` (not empty); `location` gives the ChunkLocation of one.
template <class Chunk, class Location>
[[nodiscard]] ChunkRun first_run(std::span<const Chunk> chunks, Location location) {
  const ChunkLocation first = location(chunks.front());
  ChunkRun run{.offset = first.offset, .size_bytes = first.stored_size, .chunks = 1};
  for (const Chunk& chunk : chunks.subspan(1)) {
    const ChunkLocation next = location(chunk);
    const bool adjacent = next.offset == run.offset + run.size_bytes;
    if (!adjacent || run.size_bytes + next.stored_size > chunk_run_size_bytes) break;
    run.size_bytes += next.stored_size;
    ++run.chunks;
  }
  return run;
}

// `size` bytes of `buffer`, which is replaced when it is too small.
inline MutableByteView ensure(Buffer& buffer, std::size_t size) {
  if (buffer.capacity() < size) buffer = Buffer(size);
  return buffer.whole().first(size);
}

}  // namespace pgstrata
