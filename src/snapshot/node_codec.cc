#include "snapshot/node_codec.h"

#include <algorithm>

namespace pgstrata {

namespace {
constexpr auto newest_version = static_cast<std::uint8_t>(NodeVersion::differences);

ContentTag read_tag(ByteReader& reader) {
  ContentTag tag{};
  std::ranges::copy(reader.bytes(tag.size()), tag.begin());
  return tag;
}
}  // namespace

NodeVersion version_for(std::span<const ExtentRef> extents) {
  const bool any =
      std::ranges::any_of(extents, [](const auto& extent) { return extent.difference.has_value(); });
  return any ? NodeVersion::differences : NodeVersion::whole_extents;
}

std::uint64_t NodeEncoder::pack_index(const PackId& pack) {
  const auto [at, added] = packs_.try_emplace(pack, pack_order_.size());
  if (added) pack_order_.push_back(pack);
  return at->second;
}

void NodeEncoder::chunk(const ChunkRef& ref) {
  body_.varint(pack_index(ref.pack));
  body_.varint(ref.location.offset);
  body_.varint(ref.location.stored_size);
}

void NodeEncoder::node(const NodeRef& ref) {
  body_.bytes(ref.tag);
  chunk(ref.chunk);
}

// Zero for an extent of zeros, else one more than the pack's index; in version 2 than twice that, and two
// more when a difference follows.
void NodeEncoder::extent(const ExtentRef& ref) {
  if (!ref.chunk) {
    body_.varint(0);
    return;
  }
  const auto index = pack_index(ref.chunk->pack);
  const bool with_difference = ref.difference.has_value();
  PGS_ASSERT(version_ == NodeVersion::differences || !with_difference);
  body_.varint(version_ == NodeVersion::differences ? 2 * index + (with_difference ? 2 : 1) : index + 1);
  body_.varint(ref.chunk->location.offset);
  body_.varint(ref.chunk->location.stored_size);
  body_.bytes(ref.tag);
  if (with_difference) chunk(*ref.difference);
}

Bytes NodeEncoder::finish(NodeKind kind) {
  ByteWriter node;
  node.u8(static_cast<std::uint8_t>(version_));
  node.u8(static_cast<std::uint8_t>(kind));
  node.varint(pack_order_.size());
  for (const auto& pack : pack_order_) node.bytes(pack.bytes);
  node.bytes(body_.view());
  return node.take();
}

Result<NodeDecoder> NodeDecoder::open(ByteView node) {
  ByteReader reader(node);
  const auto version = reader.u8();
  const auto kind = reader.u8();
  const auto count = reader.varint();
  if (!reader.failed() && version > newest_version) {
    return fail(ErrorCode::newer_format, "file tree node of format {}; this pgstrata reads up to {}", version,
                newest_version);
  }
  if (reader.failed() || version == 0 || kind < 1 || kind > 3 || count > reader.remaining() / 16) {
    return fail(ErrorCode::damaged, "file tree node with a broken header");
  }
  std::vector<PackId> packs(static_cast<std::size_t>(count));
  for (auto& pack : packs) std::ranges::copy(reader.bytes(pack.bytes.size()), pack.bytes.begin());
  NodeDecoder decoder(reader);
  decoder.version_ = static_cast<NodeVersion>(version);
  decoder.kind_ = static_cast<NodeKind>(kind);
  decoder.packs_ = std::move(packs);
  return decoder;
}

ChunkRef NodeDecoder::chunk_in(std::uint64_t pack_index) {
  ChunkRef ref;
  ref.location.offset = body_.varint();
  const auto stored_size = body_.varint();
  if (pack_index >= packs_.size() || stored_size > UINT32_MAX) {
    failed_ = true;
    return {};
  }
  ref.pack = packs_[static_cast<std::size_t>(pack_index)];
  ref.location.stored_size = static_cast<std::uint32_t>(stored_size);
  return ref;
}

ChunkRef NodeDecoder::chunk() {
  return chunk_in(body_.varint());
}

NodeRef NodeDecoder::node() {
  NodeRef ref;
  ref.tag = read_tag(body_);
  ref.chunk = chunk();
  return ref;
}

ExtentRef NodeDecoder::extent() {
  const auto code = body_.varint();
  if (code == 0) return {};
  const bool may_differ = version_ == NodeVersion::differences;
  ExtentRef ref;
  ref.chunk = chunk_in(may_differ ? (code - 1) / 2 : code - 1);
  ref.tag = read_tag(body_);
  if (may_differ && code % 2 == 0) ref.difference = chunk();
  return ref;
}

Result<void> NodeDecoder::finish() const {
  if (failed_ || !body_.finished()) return fail(ErrorCode::damaged, "file tree node does not parse");
  return {};
}

}  // namespace pgstrata
