// Records: small objects written whole (roots, a cluster's registration, timeline histories), compressed and
// sealed under a key of their own, bound to their name: a record moved or renamed does not open.
// Format: docs/formats/record.md. Payloads are at most max_record_size_bytes.
#pragma once

#include "repo/repository.h"

namespace pgstrata {

inline constexpr std::size_t max_record_size_bytes = 256U << 20;

// What a record is, so that one kind is never read as another.
enum class RecordKind : std::uint8_t { cluster = 1, snapshot = 2, timeline_history = 3, timeline_set_aside = 4 };

// `name` is relative to the cluster's space. Durable when it returns.
// Errors: already_exists; usage (a payload over the limit).
Result<void> put_record(const ClusterSpace& space, std::string_view name, RecordKind kind, ByteView payload);

// Errors: not_found; damaged (names the object; also when it is of another kind); newer_format.
Result<Bytes> get_record(const ClusterSpace& space, std::string_view name, RecordKind kind);

}  // namespace pgstrata
