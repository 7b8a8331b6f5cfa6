// A difference and the extent that it is applied to: what is applied undoes itself, and encodes and applies
// again. Three bytes for the extent's size and what it holds, then the difference.
#include <algorithm>

#include "codec/endian.h"
#include "snapshot/extent_difference.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader reader(std::as_bytes(std::span(data, size)));
  const std::size_t size_bytes = reader.u16() * 2U;
  const auto fill = static_cast<std::byte>(reader.u8());
  if (reader.failed()) return 0;
  const auto difference = reader.bytes(reader.remaining());
  const Bytes whole(size_bytes, fill);
  Bytes content = whole;
  const auto pages = apply_extent_difference(difference, content);
  if (!pages) {
    PGS_ASSERT(content == whole);
    return 0;
  }
  Bytes undone = content;
  PGS_ASSERT(apply_extent_difference(difference, undone) && undone == whole);

  Bytes encoded(max_extent_difference_bytes);
  const auto encoded_size = encode_extent_difference(whole, content, encoded);
  PGS_ASSERT(encoded_size.has_value() == (content != whole));
  if (!encoded_size) return 0;
  PGS_ASSERT(*encoded_size <= difference.size());
  Bytes again = whole;
  PGS_ASSERT(apply_extent_difference(ByteView(encoded).first(*encoded_size), again) && again == content);
  return 0;
}
