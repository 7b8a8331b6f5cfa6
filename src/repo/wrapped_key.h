// A key sealed under another one that is used for nothing else. Internal to the room.
#pragma once

#include "codec/secret.h"

namespace pgstrata {

inline constexpr std::size_t wrap_salt_size_bytes = 16;
inline constexpr std::size_t wrapped_key_size_bytes = SecretKey::size_bytes + 16;

// `wrapping` was derived with a fresh salt: it never wraps a second key. `binding` says what the key belongs
// to.
[[nodiscard]] Bytes wrap_key(const SecretKey& wrapping, std::string_view binding, const SecretKey& key);
// Error: damaged, when it does not authenticate.
Result<SecretKey> unwrap_key(const SecretKey& wrapping, std::string_view binding, ByteView wrapped);

}  // namespace pgstrata
