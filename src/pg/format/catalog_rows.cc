#include "pg/format/catalog_rows.h"

#include <bit>
#include <cmath>

#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::size_t name_bytes = 64;
constexpr std::size_t name_offset = 4;

Oid oid_at(ByteView columns, std::size_t offset) {
  return {load_little<std::uint32_t>(columns.data() + offset)};
}

std::string name_in(ByteView columns) {
  const auto text = as_text(columns.subspan(name_offset, name_bytes));
  return std::string(text.substr(0, text.find('\0')));
}

// Of those that are as long as what is read of them.
void for_each_row(PageView page, std::size_t size,
                  const std::function<void(ByteView columns, bool maybe_deleted)>& use) {
  for_each_heap_tuple(page, [&](const HeapTuple& tuple) {
    if (tuple.life == TupleLife::dead || tuple.columns.size() < size) return;
    use(tuple.columns, tuple.life == TupleLife::maybe_deleted);
  });
}

// -1 says that nobody counted; before 14, 0 with 0 pages did.
std::optional<std::uint64_t> estimated_rows(ByteView columns, int major) {
  const auto pages = load_little<std::uint32_t>(columns.data() + 96);
  const auto rows = std::bit_cast<float>(load_little<std::uint32_t>(columns.data() + 100));
  if (!(rows >= 0) || rows > 1e15F || (major < 14 && pages == 0 && rows == 0)) return std::nullopt;
  return static_cast<std::uint64_t>(std::llround(rows));
}

}  // namespace

void for_each_database(PageView page, int major, const std::function<void(DatabaseRow)>& use) {
  const std::size_t tablespace = major < 15 ? 224 : 92;
  for_each_row(page, tablespace + sizeof(std::uint32_t), [&](ByteView columns, bool maybe_deleted) {
    use({oid_at(columns, 0), name_in(columns), oid_at(columns, tablespace), maybe_deleted});
  });
}

void for_each_namespace(PageView page, const std::function<void(NamespaceRow)>& use) {
  for_each_row(page, name_offset + name_bytes, [&](ByteView columns, bool maybe_deleted) {
    use({oid_at(columns, 0), name_in(columns), maybe_deleted});
  });
}

void for_each_class(PageView page, int major, const std::function<void(ClassRow)>& use) {
  const std::size_t added = major >= 18 ? 4 : 0;  // relallfrozen
  const std::size_t toast = 108 + added;
  const std::size_t kind = 115 + added;
  for_each_row(page, kind + 1, [&](ByteView columns, bool maybe_deleted) {
    use({.oid = oid_at(columns, 0),
         .name = name_in(columns),
         .schema = oid_at(columns, 68),
         .file_number = oid_at(columns, 88).value,
         .tablespace = oid_at(columns, 92),
         .estimated_rows = estimated_rows(columns, major),
         .toast = oid_at(columns, toast),
         .kind = std::to_integer<char>(columns[kind]),
         .maybe_deleted = maybe_deleted});
  });
}

void for_each_index(PageView page, const std::function<void(IndexRow)>& use) {
  for_each_row(page, 8, [&](ByteView columns, bool maybe_deleted) {
    use({oid_at(columns, 0), oid_at(columns, 4), maybe_deleted});
  });
}

}  // namespace pgstrata
