#include "repo/sealed_object.h"

#include <algorithm>

#include "codec/aead.h"
#include "codec/compression.h"

namespace pgstrata {
namespace {

constexpr int compression_level = 3;

// The key is drawn anew for each object and seals nothing else.
constexpr std::uint64_t body_nonce = 0;

Bytes bound_to(ByteView header, std::string_view name) {
  Bytes additional = to_bytes(header);
  append(additional, as_byte_view(name));
  return additional;
}

}  // namespace

Bytes seal_object(const ClusterSpace& space, std::string_view name, const SealedObjectForm& form,
                  ByteView content) {
  ObjectId id;
  fill_random(id);
  const ObjectHeaderBytes header = write_object_header(form.magic, form.kind, id);
  const Bytes plain = compress(content, compression_level);
  Bytes object(header.size() + plain.size() + Aead::tag_size_bytes);
  std::ranges::copy(header, object.begin());
  Aead aead(space.object_key(id, form.key_purpose));
  aead.seal(body_nonce, bound_to(header, name), plain, MutableByteView(object).subspan(header.size()));
  return object;
}

Result<Bytes> open_sealed_object(const ClusterSpace& space, std::string_view name,
                                 const SealedObjectForm& form, ByteView object) {
  const std::string full_name = space.object_name(name);
  PGS_TRY(const ObjectId id, read_object_header(object, form.magic, form.kind, full_name));
  const ByteView header = object.first(object_header_size_bytes);
  const ByteView sealed = object.subspan(header.size());
  if (sealed.size() < Aead::tag_size_bytes) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: cut short at {} bytes", full_name, object.size());
  }
  Aead aead(space.object_key(id, form.key_purpose));
  Bytes plain(sealed.size() - Aead::tag_size_bytes);
  if (!aead.open(body_nonce, bound_to(header, name), sealed, plain).has_value()) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: its content does not authenticate", full_name);
  }
  auto content = decompress(plain, form.content_limit_bytes);
  if (!content.has_value()) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", full_name, content.error().message());
  }
  return *std::move(content);
}

}  // namespace pgstrata
