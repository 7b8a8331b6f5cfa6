#include <array>
#include <cstring>

#include "pg/format/catalog_rows.h"

// The first byte chooses the major; the rest is a page, or the beginning of one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pgstrata;
  if (size == 0) return 0;
  const int major = 13 + data[0] % 6;
  std::array<std::byte, page_size> page{};
  std::memcpy(page.data(), data + 1, std::min<std::size_t>(size - 1, page.size()));
  for_each_database(page, major, [](const DatabaseRow&) {});
  for_each_namespace(page, [](const NamespaceRow&) {});
  for_each_class(page, major, [](const ClassRow&) {});
  for_each_index(page, [](const IndexRow&) {});
  return 0;
}
