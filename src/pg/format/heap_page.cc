#include "pg/format/heap_page.h"

#include <algorithm>

#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::size_t line_pointers_at = 24;
constexpr std::size_t line_pointer_bytes = 4;
constexpr std::uint32_t line_pointer_normal = 1;
constexpr std::size_t tuple_header_bytes = 23;

constexpr unsigned hint_xmax_exclusive_lock = 0x0040;
constexpr unsigned hint_xmax_lock_only = 0x0080;
constexpr unsigned hint_xmin_committed = 0x0100;
constexpr unsigned hint_xmin_invalid = 0x0200;  // with hint_xmin_committed: frozen
constexpr unsigned hint_xmax_committed = 0x0400;
constexpr unsigned hint_xmax_invalid = 0x0800;
constexpr unsigned hint_xmax_is_multi = 0x1000;

// HEAP_XMAX_IS_LOCKED_ONLY.
bool only_locks(unsigned infomask) {
  return (infomask & hint_xmax_lock_only) != 0 ||
         (infomask & (hint_xmax_is_multi | hint_xmax_exclusive_lock)) == hint_xmax_exclusive_lock;
}

TupleLife life_of(std::uint32_t xmax, unsigned infomask) {
  if ((infomask & (hint_xmin_committed | hint_xmin_invalid)) == hint_xmin_invalid) return TupleLife::dead;
  if (xmax == 0 || (infomask & hint_xmax_invalid) != 0 || only_locks(infomask)) return TupleLife::there;
  return (infomask & hint_xmax_committed) != 0 ? TupleLife::dead : TupleLife::maybe_deleted;
}

}  // namespace

void for_each_heap_tuple(PageView page, const std::function<void(const HeapTuple&)>& use) {
  const std::size_t pointers_end = std::min<std::size_t>(read_page_header(page).lower, page.size());
  for (std::size_t at = line_pointers_at; at + line_pointer_bytes <= pointers_end; at += line_pointer_bytes) {
    // 15 bits of offset, 2 of state, 15 of length.
    const auto pointer = load_little<std::uint32_t>(page.data() + at);
    const std::size_t offset = pointer & 0x7FFFU;
    const std::size_t size = pointer >> 17U;
    if (((pointer >> 15U) & 3U) != line_pointer_normal || offset + size > page.size()) continue;
    if (size < tuple_header_bytes) continue;
    const auto tuple = ByteView(page).subspan(offset, size);
    const auto header_size = std::to_integer<std::size_t>(tuple[22]);
    if (header_size < tuple_header_bytes || header_size > size) continue;
    use({life_of(load_little<std::uint32_t>(tuple.data() + 4), load_little<std::uint16_t>(tuple.data() + 20)),
         tuple.subspan(header_size)});
  }
}

}  // namespace pgstrata
