// One object of a cluster, from one store to another, as it is: the same name, the same key, the same bytes. Internal to
// the copying of clusters.
#pragma once

#include <string>

#include "repo/lease.h"
#include "repo/record.h"
#include "repo/repository.h"

namespace pgstrata {

enum class CopiedForm : std::uint8_t { pack, wal };

// Every byte is authenticated before the object appears in `to`: damage does not spread. What bears the name there already
// stays when it is the same, be it that another copy has just put it; something else makes room, once `may_replace` was
// asked. Takes three times the object's memory, or a few MiB for one above 64 MiB, which is then read twice. Durable when it
// returns. Returns the size.
// Errors: damaged and newer_format, not_found (of the object in `from`); those of `may_replace` and of both stores.
Result<std::uint64_t> copy_object(const ClusterSpace& from, const ClusterSpace& to, const std::string& name,
                                  CopiedForm form, std::uint64_t size_bytes,
                                  const PublishingAllowed& may_replace);

// A record is put, or replaced where it is another one; `still_allowed` is asked right before. False when it was there as it
// is. Errors: as above.
Result<bool> copy_record(const ClusterSpace& from, const ClusterSpace& to, const std::string& name,
                         RecordKind kind, const PublishingAllowed& still_allowed);

}  // namespace pgstrata
