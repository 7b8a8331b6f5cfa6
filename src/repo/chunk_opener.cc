#include "repo/pack.h"
#include "repo/pack_format.h"

namespace pgstrata {

ChunkOpener::ChunkOpener(const SecretKey& pack_key, std::string name)
    : aead_(pack_key), name_(std::move(name)) {}

Result<std::size_t> ChunkOpener::open(std::uint64_t offset, ByteView stored, MutableByteView into) {
  return open_chunk(aead_, decompressor_, {.pack = name_, .offset = offset}, stored, scratch_, into);
}

}  // namespace pgstrata
