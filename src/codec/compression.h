// Zstandard frames, one per call, with reused contexts. Not thread-safe: one object per thread.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/result.h"

namespace pgstrata {

class Compressor {
 public:
  explicit Compressor(int level);
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  // An upper bound on what compress writes.
  [[nodiscard]] static std::size_t bound(std::size_t size_bytes);
  // Writes one frame to `into` (at least bound() long) and returns its size. The size of the content is in
  // the frame; a zstd checksum is not: what is stored is authenticated.
  [[nodiscard]] std::size_t compress(ByteView content, MutableByteView into);
  void set_level(int level);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  // Fills `into` exactly. Error: damaged, when the frame is broken or holds another size.
  Result<void> decompress(ByteView frame, MutableByteView into);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// For small things. `limit_bytes` bounds what a frame may claim. Error: damaged.
[[nodiscard]] Bytes compress(ByteView content, int level);
[[nodiscard]] Result<Bytes> decompress(ByteView frame, std::size_t limit_bytes);

}  // namespace pgstrata
