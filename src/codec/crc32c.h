// The ways to extend a CRC-32C, for digest.cc to choose from and for the tests to compare.
#pragma once

#include "base/bytes.h"

namespace pgstrata::crc32c {

// Eight tables, on any processor.
[[nodiscard]] std::uint32_t extend_portable(std::uint32_t crc, ByteView bytes);

#if defined(__x86_64__)
// Needs SSE 4.2.
[[nodiscard]] std::uint32_t extend_sse42(std::uint32_t crc, ByteView bytes);
#endif

}  // namespace pgstrata::crc32c
