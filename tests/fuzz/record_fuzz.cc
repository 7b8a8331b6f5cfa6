// A record whose seal is right and whose content is not: the input is sealed as it is, uncompressed. And the
// input as a whole record and a whole lease; and as what is inside a lease.
#include "codec/aead.h"
#include "repo/lease_content.h"
#include "repo/record.h"
#include "repo/sealed_object.h"
#include "storage/memory/memory_store.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view name = "records/one";
  constexpr SealedObjectForm form{
      .magic = record_magic, .kind = 1, .key_purpose = "record v1", .content_limit_bytes = 1U << 20};
  const ByteView bytes = std::as_bytes(std::span(data, size));
  MemoryStore store;
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  const ClusterSpace space(store, "app", *key);

  const ObjectId id{};
  const ObjectHeaderBytes header = write_object_header(form.magic, form.kind, id);
  Bytes object = to_bytes(header);
  object.resize(header.size() + size + Aead::tag_size_bytes);
  Bytes binding = to_bytes(header);
  append(binding, as_byte_view(name));
  Aead aead(space.object_key(id, form.key_purpose));
  aead.seal(0, binding, bytes, MutableByteView(object).subspan(header.size()));
  const auto content = open_sealed_object(space, name, form, object);
  PGS_ASSERT(!content || content->size() <= form.content_limit_bytes);

  PGS_ASSERT(!open_sealed_object(space, name, form, bytes));
  (void)open_lease(space, "one", bytes);
  (void)parse_lease_content(bytes);
  return 0;
}
