#include "repo/wrapped_key.h"

#include "codec/aead.h"

namespace pgstrata {
namespace {

constexpr std::uint64_t wrap_nonce = 0;

}  // namespace

Bytes wrap_key(const SecretKey& wrapping, std::string_view binding, const SecretKey& key) {
  static_assert(wrapped_key_size_bytes == SecretKey::size_bytes + Aead::tag_size_bytes);
  Bytes wrapped(wrapped_key_size_bytes);
  Aead(wrapping).seal(wrap_nonce, as_byte_view(binding), key.view(), wrapped);
  return wrapped;
}

Result<SecretKey> unwrap_key(const SecretKey& wrapping, std::string_view binding, ByteView wrapped) {
  if (wrapped.size() != wrapped_key_size_bytes) {
    return fail(ErrorCode::damaged, "a wrapped key has {} bytes, not {}", wrapped_key_size_bytes,
                wrapped.size());
  }
  Bytes plain(SecretKey::size_bytes);
  PGS_CHECK(Aead(wrapping).open(wrap_nonce, as_byte_view(binding), wrapped, plain));
  auto key = SecretKey::from(plain);
  wipe(plain);
  return key;
}

}  // namespace pgstrata
