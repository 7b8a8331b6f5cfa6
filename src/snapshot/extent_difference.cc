#include "snapshot/extent_difference.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "codec/endian.h"

namespace pgstrata {

namespace {

constexpr std::uint8_t difference_version = 1;

std::size_t page_count(std::size_t size_bytes) {
  return (size_bytes + page_size - 1) / page_size;
}

// The page's part of `bytes`; short or empty where they end.
template <class View>
View page_of(View bytes, std::size_t page) {
  const auto from = std::min(page * page_size, bytes.size());
  return bytes.subspan(from, std::min<std::size_t>(page_size, bytes.size() - from));
}

// By words: GCC 12 at -O2 makes no vectors of a loop over bytes.
void xor_into(MutableByteView to, ByteView with) {
  constexpr std::size_t word_bytes = sizeof(std::uint64_t);
  std::size_t at = 0;
  for (; at + word_bytes <= with.size(); at += word_bytes) {
    std::uint64_t left = 0;
    std::uint64_t right = 0;
    std::memcpy(&left, to.data() + at, word_bytes);
    std::memcpy(&right, with.data() + at, word_bytes);
    left ^= right;
    std::memcpy(to.data() + at, &left, word_bytes);
  }
  for (; at < with.size(); ++at) to[at] ^= with[at];
}

bool same_page(ByteView whole, ByteView content) {
  const auto shared = std::min(whole.size(), content.size());
  if (shared != 0 && std::memcmp(whole.data(), content.data(), shared) != 0) return false;
  return std::ranges::all_of(content.subspan(shared), [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

void fit_whole_extent(ByteView whole, MutableByteView into) {
  const auto shared = std::min(whole.size(), into.size());
  std::ranges::copy(whole.first(shared), into.begin());
  std::ranges::fill(into.subspan(shared), std::byte{0});
}

std::optional<std::size_t> encode_extent_difference(ByteView whole, ByteView content, MutableByteView into) {
  PGS_ASSERT(content.size() <= extent_bytes && into.size() >= max_extent_difference_bytes);
  std::uint32_t pages = 0;
  std::size_t size = extent_difference_overhead_bytes;
  for (std::size_t page = 0; page < page_count(content.size()); ++page) {
    const auto before = page_of(whole, page);
    const auto after = page_of(content, page);
    if (same_page(before, after)) continue;
    pages |= 1U << page;
    const auto changed = into.subspan(size, after.size());
    std::ranges::copy(after, changed.begin());
    xor_into(changed, before.first(std::min(before.size(), after.size())));
    size += after.size();
  }
  if (pages == 0 && whole.size() == content.size()) return std::nullopt;
  into[0] = std::byte{difference_version};
  into[1] = static_cast<std::byte>(pages);
  into[2] = static_cast<std::byte>(pages >> 8U);
  return size;
}

Result<PageBits> apply_extent_difference(ByteView difference, MutableByteView content) {
  PGS_ASSERT(content.size() <= extent_bytes);
  ByteReader reader(difference);
  const auto version = reader.u8();
  const PageBits pages = reader.u16();
  if (!reader.failed() && version > difference_version) {
    return fail(ErrorCode::newer_format, "difference of format {}; this pgstrata reads up to {}", version,
                difference_version);
  }
  std::size_t size = 0;
  for (std::uint32_t page = 0; page < pages_per_extent; ++page) {
    if (holds_page(pages, page)) size += page_of(content, page).size();
  }
  const bool beyond = (std::uint32_t{pages} >> page_count(content.size())) != 0;
  if (reader.failed() || version == 0 || beyond || size != reader.remaining()) {
    return fail(ErrorCode::damaged, "difference of {} bytes fits no extent of {}", difference.size(),
                content.size());
  }
  for (std::uint32_t page = 0; page < pages_per_extent; ++page) {
    if (!holds_page(pages, page)) continue;
    const auto changed = page_of(content, page);
    xor_into(changed, reader.bytes(changed.size()));
  }
  return pages;
}

}  // namespace pgstrata
