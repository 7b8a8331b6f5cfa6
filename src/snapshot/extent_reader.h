// Reading single extents: what a snapshot has in one place of one file. For whole files see restore/.
#pragma once

#include "snapshot/page_map.h"

namespace pgstrata {

// Belongs to one thread. Reads one chunk for an extent, two for one with a difference.
class ExtentReader {
 public:
  explicit ExtentReader(const ClusterSpace& space);

  // The first `size_bytes` of `into` become the extent's content; `size_bytes` is that of the extent in its
  // file, and `into` at least as long. Errors: damaged (names the pack, also one that is missing, and a chunk
  // of another size), newer_format.
  Result<void> read(const ExtentRef& ref, std::uint32_t size_bytes, MutableByteView into);

  // What the extent was when it was last stored whole, which a new difference starts from: the content of
  // `ref.chunk` as it is, difference left out. `into` is at least extent_bytes long; returns how many were
  // filled, none for zeros. Error: damaged.
  Result<std::size_t> read_whole(const ExtentRef& ref, MutableByteView into);

  // As read(), by one who has read_whole()'s result already.
  Result<void> complete(const ExtentRef& ref, ByteView whole, MutableByteView content);

 private:
  Result<void> apply(const ChunkRef& difference, MutableByteView content);

  ChunkReader chunks_;
  Buffer whole_;
  Buffer difference_;
};

}  // namespace pgstrata
