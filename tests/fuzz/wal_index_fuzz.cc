// WAL indexes: what decodes encodes to something that decodes to the same.
#include "base/assert.h"
#include "pg/format/wal_index.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto index = decode_wal_index(std::as_bytes(std::span(data, size)));
  if (!index) return 0;
  const auto again = decode_wal_index(encode_wal_index(*index));
  PGS_ASSERT(again.has_value() && *again == *index);
  return 0;
}
