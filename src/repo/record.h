// Records: small objects written whole (roots, a cluster's registration, timeline histories), compressed and
// sealed under a key of their own, bound to their name: a record moved or renamed does not open. Written
// once, but for those that are replaced by name. Format: docs/formats/record.md. Payloads are at most
// max_record_size_bytes.
#pragma once

#include "repo/repository.h"

namespace pgstrata {

inline constexpr std::size_t max_record_size_bytes = 256U << 20;

// What a record is, so that one kind is never read as another.
enum class RecordKind : std::uint8_t {
  cluster = 1,
  snapshot = 2,
  timeline_history = 3,
  timeline_set_aside = 4,
  hold = 5,
  condemned = 6,
  condemned_witness = 7,
  retention_floor = 8,
  retention_horizon = 9
};

// `name` is relative to the cluster's space. Durable when it returns.
// Errors: already_exists; usage (a payload over the limit).
Result<void> put_record(const ClusterSpace& space, std::string_view name, RecordKind kind, ByteView payload);

// Errors: not_found; damaged (names the object; also when it is of another kind); newer_format.
Result<Bytes> get_record(const ClusterSpace& space, std::string_view name, RecordKind kind);

// With what a replacement must name.
struct VersionedRecord {
  Bytes payload;
  std::string version;
};
// Errors: as get_record; damaged, too, when it is larger than a replaceable object can be.
Result<VersionedRecord> get_versioned_record(const ClusterSpace& space, std::string_view name,
                                             RecordKind kind);
// A crash leaves the old record or the new one, whole. Durable when it returns. Errors: busy (the record is
// not at that version: nothing has changed); usage (larger than a replaceable object can be).
Result<void> replace_record(const ClusterSpace& space, std::string_view name, RecordKind kind,
                            const std::string& version, ByteView payload);

}  // namespace pgstrata
