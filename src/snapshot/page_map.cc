#include "snapshot/page_map.h"

#include "snapshot/node_codec.h"

namespace pgstrata {

Bytes encode_page_map_leaf(std::span<const ExtentRef> extents) {
  PGS_ASSERT(extents.size() <= page_map_leaf_extents);
  NodeEncoder encoder(version_for(extents));
  encoder.body().varint(extents.size());
  for (const auto& extent : extents) encoder.extent(extent);
  return encoder.finish(NodeKind::page_map_leaf);
}

Result<std::vector<ExtentRef>> decode_page_map_leaf(ByteView node) {
  PGS_TRY(auto decoder, NodeDecoder::open(node));
  const auto count = decoder.body().varint();
  if (decoder.kind() != NodeKind::page_map_leaf || count > page_map_leaf_extents) {
    return fail(ErrorCode::damaged, "not a page map leaf");
  }
  std::vector<ExtentRef> extents;
  extents.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count && !decoder.failed(); ++i) extents.push_back(decoder.extent());
  PGS_CHECK(decoder.finish());
  return extents;
}

}  // namespace pgstrata
