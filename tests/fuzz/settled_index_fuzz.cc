// The index of a settled file.
#include "branch/settled_file.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto index = parse_settled_index(std::as_bytes(std::span(data, size)));
  if (!index) return 0;
  // What can be read can be written, and says the same.
  const auto again = parse_settled_index(encode_settled_index(*index));
  PGS_ASSERT(again.has_value() && again->serial == index->serial);
  PGS_ASSERT(again->extents == index->extents);
  return 0;
}
