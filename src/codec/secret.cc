#include "codec/secret.h"

#include <cerrno>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sodium.h>
#include <sys/random.h>

namespace pgstrata {
namespace {

EVP_KDF* hkdf() {
  static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  PGS_ASSERT(kdf != nullptr);
  return kdf;
}

// OpenSSL's parameters take no const pointer, yet only read.
OSSL_PARAM octets(const char* name, const void* data, std::size_t size) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<void*>(data), size);
}

}  // namespace

SecretKey SecretKey::random() {
  SecretKey key;
  fill_random(key.bytes_);
  return key;
}

Result<SecretKey> SecretKey::from(ByteView bytes) {
  if (bytes.size() != size_bytes) {
    return fail(ErrorCode::usage, "a key has {} bytes, not {}", size_bytes, bytes.size());
  }
  SecretKey key;
  std::memcpy(key.bytes_.data(), bytes.data(), size_bytes);
  return key;
}

SecretKey::~SecretKey() {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

void wipe(MutableByteView secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
}

void fill_random(MutableByteView into) {
  while (!into.empty()) {
    const ssize_t got = ::getrandom(into.data(), into.size(), 0);
    if (got < 0) {
      PGS_ASSERT(errno == EINTR);
      continue;
    }
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

Bytes random_bytes(std::size_t count) {
  Bytes bytes(count);
  fill_random(bytes);
  return bytes;
}

SecretKey derive_key(const SecretKey& from, ByteView salt, std::string_view info) {
  EVP_KDF_CTX* const context = EVP_KDF_CTX_new(hkdf());
  PGS_ASSERT(context != nullptr);
  char digest[] = "SHA256";
  // An empty salt is left out: RFC 5869 then takes zeros, which HMAC cannot tell from an empty one.
  std::array<OSSL_PARAM, 5> parameters{};
  std::size_t count = 0;
  parameters[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
  parameters[count++] = octets(OSSL_KDF_PARAM_KEY, from.view().data(), from.view().size());
  if (!salt.empty()) parameters[count++] = octets(OSSL_KDF_PARAM_SALT, salt.data(), salt.size());
  if (!info.empty()) parameters[count++] = octets(OSSL_KDF_PARAM_INFO, info.data(), info.size());
  parameters[count] = OSSL_PARAM_construct_end();

  std::array<std::byte, SecretKey::size_bytes> derived;
  const int done = EVP_KDF_derive(context, reinterpret_cast<unsigned char*>(derived.data()), derived.size(),
                                  parameters.data());
  EVP_KDF_CTX_free(context);
  PGS_ASSERT(done == 1);
  const Result<SecretKey> key = SecretKey::from(derived);
  OPENSSL_cleanse(derived.data(), derived.size());
  return *key;
}

Result<SecretKey> derive_key_from_passphrase(std::string_view passphrase, ByteView salt, Argon2idCost cost) {
  if (salt.size() != crypto_pwhash_SALTBYTES) {
    return fail(ErrorCode::usage, "a passphrase salt has {} bytes, not {}", crypto_pwhash_SALTBYTES,
                salt.size());
  }
  if (cost.operations < Argon2idCost::operations_min || cost.operations > Argon2idCost::operations_max ||
      cost.memory_bytes < Argon2idCost::memory_min_bytes ||
      cost.memory_bytes > Argon2idCost::memory_max_bytes) {
    return fail(ErrorCode::usage, "argon2id cost of {} operations and {} bytes of memory is out of range",
                cost.operations, cost.memory_bytes);
  }
  static const bool ready = sodium_init() >= 0;
  PGS_ASSERT(ready);
  std::array<std::byte, SecretKey::size_bytes> derived;
  if (crypto_pwhash(reinterpret_cast<unsigned char*>(derived.data()), derived.size(), passphrase.data(),
                    passphrase.size(), reinterpret_cast<const unsigned char*>(salt.data()), cost.operations,
                    static_cast<std::size_t>(cost.memory_bytes), crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(ErrorCode::no_space, "could not get {} bytes of memory to derive a key from the passphrase",
                cost.memory_bytes);
  }
  Result<SecretKey> key = SecretKey::from(derived);
  OPENSSL_cleanse(derived.data(), derived.size());
  return key;
}

}  // namespace pgstrata
