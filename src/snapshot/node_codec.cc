#include "snapshot/node_codec.h"

#include <algorithm>

namespace pgstrata {

namespace {
constexpr std::uint8_t node_version = 1;

ContentTag read_tag(ByteReader& reader) {
  ContentTag tag{};
  std::ranges::copy(reader.bytes(tag.size()), tag.begin());
  return tag;
}
}  // namespace

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

// Zero for an extent of zeros, else one more than the pack's index.
void NodeEncoder::extent(const ExtentRef& ref) {
  if (!ref.chunk) {
    body_.varint(0);
    return;
  }
  body_.varint(pack_index(ref.chunk->pack) + 1);
  body_.varint(ref.chunk->location.offset);
  body_.varint(ref.chunk->location.stored_size);
  body_.bytes(ref.tag);
}

Bytes NodeEncoder::finish(NodeKind kind) {
  ByteWriter node;
  node.u8(node_version);
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
  if (!reader.failed() && version > node_version) {
    return fail(ErrorCode::newer_format, "file tree node of format {}; this pgstrata reads up to {}", version,
                node_version);
  }
  if (reader.failed() || version == 0 || kind < 1 || kind > 3 || count > reader.remaining() / 16) {
    return fail(ErrorCode::damaged, "file tree node with a broken header");
  }
  std::vector<PackId> packs(static_cast<std::size_t>(count));
  for (auto& pack : packs) std::ranges::copy(reader.bytes(pack.bytes.size()), pack.bytes.begin());
  NodeDecoder decoder(reader);
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
  const auto index = body_.varint();
  if (index == 0) return {};
  ExtentRef ref;
  ref.chunk = chunk_in(index - 1);
  ref.tag = read_tag(body_);
  return ref;
}

Result<void> NodeDecoder::finish() const {
  if (failed_ || !body_.finished()) return fail(ErrorCode::damaged, "file tree node does not parse");
  return {};
}

}  // namespace pgstrata
