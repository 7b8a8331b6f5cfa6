// CRC-32C is the remainder of the message, as a polynomial over GF(2), modulo P, bits reflected: the highest
// power sits in bit 0. Appending n zero bytes multiplies a remainder by x^(8n). That is how the remainders of
// three neighbouring blocks, computed side by side because the crc32 instruction takes three cycles but
// starts one each cycle, become that of the whole: shift the first by the length of the second, add the
// second, and again. The shift is four table look-ups.
#include "codec/crc32c.h"

#include <array>

#include "codec/digest.h"
#include "codec/endian.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace pgstrata {
namespace crc32c {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78U;

constexpr std::uint32_t times_x(std::uint32_t a) {
  return (a >> 1) ^ ((a & 1U) != 0 ? polynomial : 0);
}

using Table = std::array<std::uint32_t, 256>;

// tables[k][b]: byte b followed by k zero bytes.
constexpr std::array<Table, 8> make_byte_tables() {
  std::array<Table, 8> tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = times_x(crc);
    tables[0][b] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::uint32_t b = 0; b < 256; ++b) {
      const std::uint32_t crc = tables[k - 1][b];
      tables[k][b] = (crc >> 8) ^ tables[0][crc & 0xFFU];
    }
  }
  return tables;
}
constexpr auto byte_tables = make_byte_tables();

#if defined(__x86_64__)

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = 0x80000000U; bit != 0; bit >>= 1) {  // from x^0 upwards
    if ((a & bit) != 0) product ^= b;
    b = times_x(b);
  }
  return product;
}

constexpr std::uint32_t power_of_x(std::size_t exponent) {
  std::uint32_t power = 0x80000000U;   // x^0
  std::uint32_t square = 0x40000000U;  // x^1, x^2, x^4, …
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1U) != 0) power = multiply(power, square);
    square = multiply(square, square);
  }
  return power;
}

using ShiftTables = std::array<Table, 4>;

// tables[k][b]: the remainder whose byte k is b and whose others are zero, shifted by `count` zero bytes.
constexpr ShiftTables make_shift_tables(std::size_t count) {
  ShiftTables tables{};
  for (std::size_t k = 0; k < 4; ++k) {
    std::uint32_t column = multiply(power_of_x(8 * count), 0x80U << (8 * k));  // the byte's lowest power
    for (std::uint32_t bit = 0x80U; bit != 0; bit >>= 1) {
      for (std::uint32_t b = 0; b < 256; ++b) {
        if ((b & bit) != 0) tables[k][b] ^= column;
      }
      column = times_x(column);
    }
  }
  return tables;
}

template <std::size_t count>
std::uint32_t shift(std::uint32_t crc) {
  static constexpr ShiftTables tables = make_shift_tables(count);
  return tables[0][crc & 0xFFU] ^ tables[1][(crc >> 8) & 0xFFU] ^ tables[2][(crc >> 16) & 0xFFU] ^
         tables[3][crc >> 24];
}

__attribute__((target("sse4.2"))) inline std::uint64_t step(std::uint64_t crc, const std::byte* at) {
  return _mm_crc32_u64(crc, load_little<std::uint64_t>(at));
}

// Eats as many whole triples of blocks as there are.
template <std::size_t block_size>
__attribute__((target("sse4.2"))) std::uint32_t extend_by_triples(std::uint32_t crc, ByteView& bytes) {
  while (bytes.size() >= 3 * block_size) {
    std::uint64_t first = crc;
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    const std::byte* at = bytes.data();
    for (const std::byte* const end = at + block_size; at < end; at += 8) {
      first = step(first, at);
      second = step(second, at + block_size);
      third = step(third, at + 2 * block_size);
    }
    const std::uint32_t both =
        shift<block_size>(static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second);
    crc = shift<block_size>(both) ^ static_cast<std::uint32_t>(third);
    bytes = bytes.subspan(3 * block_size);
  }
  return crc;
}

#endif

}  // namespace

std::uint32_t extend_portable(std::uint32_t crc, ByteView bytes) {
  const auto& t = byte_tables;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    const std::uint32_t low = crc ^ load_little<std::uint32_t>(bytes.data());
    const std::uint32_t high = load_little<std::uint32_t>(bytes.data() + 4);
    crc = t[7][low & 0xFFU] ^ t[6][(low >> 8) & 0xFFU] ^ t[5][(low >> 16) & 0xFFU] ^ t[4][low >> 24] ^
          t[3][high & 0xFFU] ^ t[2][(high >> 8) & 0xFFU] ^ t[1][(high >> 16) & 0xFFU] ^ t[0][high >> 24];
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ t[0][(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU];
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t extend_sse42(std::uint32_t crc, ByteView bytes) {
  crc = extend_by_triples<8192>(crc, bytes);
  crc = extend_by_triples<512>(crc, bytes);
  crc = extend_by_triples<64>(crc, bytes);
  std::uint64_t wide = crc;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) wide = step(wide, bytes.data());
  crc = static_cast<std::uint32_t>(wide);
  for (const std::byte byte : bytes) crc = _mm_crc32_u8(crc, std::to_integer<std::uint8_t>(byte));
  return crc;
}
#endif

}  // namespace crc32c

std::uint32_t crc32c_extend(std::uint32_t crc, ByteView bytes) {
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
  if (has_sse42) return crc32c::extend_sse42(crc, bytes);
#endif
  return crc32c::extend_portable(crc, bytes);
}

}  // namespace pgstrata
