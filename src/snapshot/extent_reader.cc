#include "snapshot/extent_reader.h"

#include <algorithm>

#include "snapshot/extent_difference.h"

namespace pgstrata {

ExtentReader::ExtentReader(const ClusterSpace& space)
    : chunks_(space), whole_(extent_bytes), difference_(max_extent_difference_bytes) {}

Result<std::size_t> ExtentReader::read_whole(const ExtentRef& ref, MutableByteView into) {
  PGS_ASSERT(into.size() >= extent_bytes);
  if (!ref.chunk) return 0;
  return chunks_.read(*ref.chunk, into.first(extent_bytes));
}

Result<void> ExtentReader::complete(const ExtentRef& ref, ByteView whole, MutableByteView content) {
  fit_whole_extent(whole, content);
  return ref.difference ? apply(*ref.difference, content) : Result<void>();
}

Result<void> ExtentReader::read(const ExtentRef& ref, std::uint32_t size_bytes, MutableByteView into) {
  PGS_ASSERT(size_bytes <= extent_bytes && size_bytes <= into.size());
  const auto content = into.first(size_bytes);
  if (!ref.chunk) {
    std::ranges::fill(content, std::byte{0});
    return {};
  }
  if (!ref.difference) {
    PGS_TRY(const auto size, chunks_.read(*ref.chunk, content));
    if (size == size_bytes) return {};
    return fail(ErrorCode::damaged, "an extent has {} bytes in pack {}, not {}", size,
                to_string(ref.chunk->pack), size_bytes);
  }
  if (size_bytes == extent_bytes) {  // all but a file's last: spared the copy
    PGS_TRY(const auto size, chunks_.read(*ref.chunk, content));
    std::ranges::fill(content.subspan(size), std::byte{0});
  } else {
    PGS_TRY(const auto size, chunks_.read(*ref.chunk, whole_.whole()));
    return complete(ref, whole_.whole().first(size), content);
  }
  return apply(*ref.difference, content);
}

Result<void> ExtentReader::apply(const ChunkRef& difference, MutableByteView content) {
  PGS_TRY(const auto size, chunks_.read(difference, difference_.whole()));
  PGS_TRY([[maybe_unused]] const auto pages, apply_extent_difference(difference_.whole().first(size), content)
                                                 .context("extent in pack " + to_string(difference.pack)));
  return {};
}

}  // namespace pgstrata
