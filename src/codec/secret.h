// Key material: fixed size, wiped when dropped, never printed.
#pragma once

#include <array>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace pgstrata {

class SecretKey {
 public:
  static constexpr std::size_t size_bytes = 32;

  // From the operating system's generator.
  static SecretKey random();
  // Error: usage, when `bytes` is not 32 long.
  static Result<SecretKey> from(ByteView bytes);

  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  ~SecretKey();

  [[nodiscard]] ByteView view() const { return bytes_; }

 private:
  SecretKey() = default;
  std::array<std::byte, size_bytes> bytes_{};
};

// Overwrites a secret in a way that the compiler keeps.
void wipe(MutableByteView secret);

// Fills `into` from the operating system's generator; never fails (aborts where there is none).
void fill_random(MutableByteView into);
[[nodiscard]] Bytes random_bytes(std::size_t count);

// HKDF-SHA-256 (RFC 5869), 32 bytes out. `info` names the purpose: keys of different purpose never meet.
[[nodiscard]] SecretKey derive_key(const SecretKey& from, ByteView salt, std::string_view info);

// Argon2id cost; stored beside what it protects so that it can grow.
// The limits keep a forged one from taking the machine's memory or many minutes.
struct Argon2idCost {
  static constexpr std::uint64_t operations_min = 1;
  static constexpr std::uint64_t operations_max = 20;
  static constexpr std::uint64_t memory_min_bytes = 8U << 10;
  static constexpr std::uint64_t memory_max_bytes = std::uint64_t{1} << 30;

  std::uint64_t operations = 3;
  std::uint64_t memory_bytes = 64U << 20;
};
// 16 bytes of salt. Error: no_space when the memory cannot be had; usage when the salt
// has another size or the cost is out of range.
[[nodiscard]] Result<SecretKey> derive_key_from_passphrase(std::string_view passphrase, ByteView salt,
                                                           Argon2idCost cost);

}  // namespace pgstrata
