// The form that records and leases share: object header, then the content compressed and sealed under a key
// of its own, bound to header and name. Format: docs/formats/record.md.
#pragma once

#include "repo/object_header.h"
#include "repo/repository.h"

namespace pgstrata {

struct SealedObjectForm {
  ObjectMagic magic;
  std::uint8_t kind;
  std::string_view key_purpose;  // "record v1"
  std::size_t content_limit_bytes;
};

// What seal_object makes of content of that size at most; zstd adds to what it cannot shrink.
[[nodiscard]] constexpr std::uint64_t sealed_object_limit_bytes(std::uint64_t content_limit_bytes) {
  return content_limit_bytes + content_limit_bytes / 128 + 1024;
}
// `name` is relative to the space.
[[nodiscard]] Bytes seal_object(const ClusterSpace& space, std::string_view name,
                                const SealedObjectForm& form, ByteView content);

// Errors: damaged (names the object); newer_format.
Result<Bytes> open_sealed_object(const ClusterSpace& space, std::string_view name,
                                 const SealedObjectForm& form, ByteView object);

}  // namespace pgstrata
