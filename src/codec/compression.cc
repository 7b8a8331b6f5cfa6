#include "codec/compression.h"

#include <zstd.h>

namespace pgstrata {
namespace {

std::unexpected<Error> broken(std::size_t code) {
  return fail(ErrorCode::damaged, "broken zstd frame: {}", ZSTD_getErrorName(code));
}

}  // namespace

struct Compressor::State {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  State() { PGS_ASSERT(context != nullptr); }
  ~State() { ZSTD_freeCCtx(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Compressor::Compressor(int level) : state_(std::make_unique<State>()) {
  set_level(level);
}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

std::size_t Compressor::bound(std::size_t size_bytes) {
  return ZSTD_compressBound(size_bytes);
}

std::size_t Compressor::compress(ByteView content, MutableByteView into) {
  const std::size_t size =
      ZSTD_compress2(state_->context, into.data(), into.size(), content.data(), content.size());
  PGS_ASSERT(ZSTD_isError(size) == 0);  // only a short `into` or a want of memory can fail
  return size;
}

void Compressor::set_level(int level) {
  PGS_ASSERT(ZSTD_isError(ZSTD_CCtx_setParameter(state_->context, ZSTD_c_compressionLevel, level)) == 0);
}

struct Decompressor::State {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  State() { PGS_ASSERT(context != nullptr); }
  ~State() { ZSTD_freeDCtx(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

Result<void> Decompressor::decompress(ByteView frame, MutableByteView into) {
  const std::size_t size =
      ZSTD_decompressDCtx(state_->context, into.data(), into.size(), frame.data(), frame.size());
  if (ZSTD_isError(size) != 0) return broken(size);
  if (size != into.size()) {
    return fail(ErrorCode::damaged, "zstd frame holds {} bytes where {} are expected", size, into.size());
  }
  return {};
}

Bytes compress(ByteView content, int level) {
  Compressor compressor(level);
  Bytes frame(Compressor::bound(content.size()));
  frame.resize(compressor.compress(content, frame));
  return frame;
}

Result<Bytes> decompress(ByteView frame, std::size_t limit_bytes) {
  const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_ERROR) return fail(ErrorCode::damaged, "not a zstd frame");
  if (size == ZSTD_CONTENTSIZE_UNKNOWN) return fail(ErrorCode::damaged, "zstd frame does not say its size");
  if (size > limit_bytes) {
    return fail(ErrorCode::damaged, "zstd frame claims {} bytes, more than the limit of {}", size,
                limit_bytes);
  }
  Bytes content(static_cast<std::size_t>(size));
  Decompressor decompressor;
  PGS_CHECK(decompressor.decompress(frame, content));
  return content;
}

}  // namespace pgstrata
