// Keys that tests share. Only tests include this.
#pragma once

#include "codec/secret.h"

namespace pgstrata {

// Bytes 0, 1, 2, …
inline SecretKey counting_key() {
  Bytes bytes(SecretKey::size_bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  return *SecretKey::from(bytes);
}

}  // namespace pgstrata
