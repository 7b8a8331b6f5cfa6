#include "repo/record.h"

#include "repo/sealed_object.h"

namespace pgstrata {
namespace {

SealedObjectForm form_of(RecordKind kind) {
  return {.magic = record_magic,
          .kind = static_cast<std::uint8_t>(kind),
          .key_purpose = "record v1",
          .content_limit_bytes = max_record_size_bytes};
}

}  // namespace

Result<void> put_record(const ClusterSpace& space, std::string_view name, RecordKind kind, ByteView payload) {
  if (payload.size() > max_record_size_bytes) {
    return fail(ErrorCode::usage, "a record of {} bytes is larger than the limit of {}", payload.size(),
                max_record_size_bytes);
  }
  return space.store().put(space.object_name(name), seal_object(space, name, form_of(kind), payload));
}

Result<Bytes> get_record(const ClusterSpace& space, std::string_view name, RecordKind kind) {
  PGS_TRY(const Bytes object,
          space.store().get(space.object_name(name), sealed_object_limit_bytes(max_record_size_bytes)));
  return open_sealed_object(space, name, form_of(kind), object);
}

Result<VersionedRecord> get_versioned_record(const ClusterSpace& space, std::string_view name,
                                             RecordKind kind) {
  PGS_TRY(VersionedObject object, space.store().get_versioned(space.object_name(name)));
  PGS_TRY(Bytes payload, open_sealed_object(space, name, form_of(kind), object.content));
  return VersionedRecord{.payload = std::move(payload), .version = std::move(object.version)};
}

Result<void> replace_record(const ClusterSpace& space, std::string_view name, RecordKind kind,
                            const std::string& version, ByteView payload) {
  PGS_CHECK(space.store().replace(space.object_name(name), version,
                                  seal_object(space, name, form_of(kind), payload)));
  return {};
}

}  // namespace pgstrata
