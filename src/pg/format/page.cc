#include "pg/format/page.h"

#include <array>

#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::size_t lanes = 32;
constexpr std::size_t lanes_in_vector = 8;
constexpr std::size_t vectors = lanes / lanes_in_vector;
constexpr std::size_t row_size_bytes = lanes * sizeof(std::uint32_t);
constexpr std::size_t checksum_offset = 8;

// Both compilers lower these to what the target has: one AVX2 register, or two of SSE2 or NEON.
using Vector = std::uint32_t __attribute__((vector_size(lanes_in_vector * sizeof(std::uint32_t))));

// The published starting values of the 32 hashes.
alignas(32) constexpr std::array<std::uint32_t, lanes> start_values = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

struct Hashes {
  std::array<Vector, vectors> of;
};

[[gnu::always_inline]] inline void mix_row(Hashes& hashes, const std::byte* row) {
  constexpr std::uint32_t prime = 16'777'619;
  for (std::size_t i = 0; i < vectors; ++i) {
    Vector words;
    std::memcpy(&words, row + i * sizeof(Vector), sizeof words);
    const Vector mixed = hashes.of[i] ^ words;
    hashes.of[i] = (mixed * prime) ^ (mixed >> 17U);
  }
}

[[gnu::always_inline]] inline std::uint32_t hash_page_inline(const std::byte* page) {
  Hashes hashes;
  std::memcpy(&hashes, start_values.data(), sizeof hashes);

  // The first row holds the stored checksum, which counts as zero.
  alignas(32) std::array<std::byte, row_size_bytes> first;
  std::memcpy(first.data(), page, row_size_bytes);
  first[checksum_offset] = std::byte{0};
  first[checksum_offset + 1] = std::byte{0};
  mix_row(hashes, first.data());

  for (std::size_t row = 1; row < page_size / row_size_bytes; ++row) {
    mix_row(hashes, page + row * row_size_bytes);
  }
  // Two rounds of zeros, for the last row to mix as well as the others.
  alignas(32) static constexpr std::array<std::byte, row_size_bytes> zeros{};
  mix_row(hashes, zeros.data());
  mix_row(hashes, zeros.data());

  std::uint32_t folded = 0;
  for (const Vector& vector : hashes.of) {
    for (std::size_t lane = 0; lane < lanes_in_vector; ++lane) folded ^= vector[lane];
  }
  return folded;
}

std::uint32_t hash_page_portable(const std::byte* page) {
  return hash_page_inline(page);
}

// Chosen by hand: target_clones resolves before a sanitizer's runtime is up.
#if defined(__x86_64__)
__attribute__((target("avx2"))) std::uint32_t hash_page_avx2(const std::byte* page) {
  return hash_page_inline(page);
}

std::uint32_t hash_page(const std::byte* page) {
  static const bool have_avx2 = __builtin_cpu_supports("avx2") != 0;
  return have_avx2 ? hash_page_avx2(page) : hash_page_portable(page);
}
#else
std::uint32_t hash_page(const std::byte* page) {
  return hash_page_portable(page);
}
#endif

}  // namespace

PageHeader read_page_header(PageView page) {
  const auto* at = page.data();
  PageHeader header;
  header.lsn.value =
      (std::uint64_t{load_little<std::uint32_t>(at)} << 32U) | load_little<std::uint32_t>(at + 4);
  header.checksum = load_little<std::uint16_t>(at + checksum_offset);
  header.flags = load_little<std::uint16_t>(at + 10);
  header.lower = load_little<std::uint16_t>(at + 12);
  header.upper = load_little<std::uint16_t>(at + 14);
  header.special = load_little<std::uint16_t>(at + 16);
  header.size_and_version = load_little<std::uint16_t>(at + 18);
  return header;
}

bool is_all_zero(ByteView bytes) {
  // Comparing the bytes with themselves, one on, leaves the work to the fastest loop there is.
  if (bytes.empty()) return true;
  if (bytes.front() != std::byte{0}) return false;
  return std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::uint16_t compute_page_checksum(PageView page, BlockNumber block) {
  const std::uint32_t mixed = hash_page(page.data()) ^ block.value;
  return static_cast<std::uint16_t>(mixed % 65535U + 1U);
}

bool verify_page_checksum(PageView page, BlockNumber block) {
  const PageHeader header = read_page_header(page);
  return header.is_new() || header.checksum == compute_page_checksum(page, block);
}

}  // namespace pgstrata
