// Digests. Thread-safe (no shared state).
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace pgstrata {

using Sha256 = std::array<std::byte, 32>;
[[nodiscard]] Sha256 sha256(ByteView bytes);
[[nodiscard]] Sha256 hmac_sha256(ByteView key, ByteView message);  // RFC 2104

// CRC-32C (Castagnoli) as PostgreSQL computes it: start with crc32c_begin, extend, finish.
// Uses SSE 4.2 where the processor has it.
inline constexpr std::uint32_t crc32c_begin = 0xFFFFFFFFU;
[[nodiscard]] std::uint32_t crc32c_extend(std::uint32_t crc, ByteView bytes);
[[nodiscard]] constexpr std::uint32_t crc32c_finish(std::uint32_t crc) {
  return crc ^ 0xFFFFFFFFU;
}

[[nodiscard]] std::string to_hex(ByteView bytes);     // lower case
[[nodiscard]] std::string to_base64(ByteView bytes);  // RFC 4648, padded
// Error: usage, when the text is not an even number of hexadecimal digits.
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

}  // namespace pgstrata
