// A cluster's registration: what `add` learned, so that repository and key are all any later command needs.
// Stored as the record `cluster`. Format: docs/formats/catalog.md.
#pragma once

#include <optional>
#include <string>

#include "base/types.h"
#include "repo/repository.h"

namespace pgstrata {

struct ClusterRecord {
  std::string connection;  // libpq URL or keywords, without any password
  SystemIdentifier system_identifier;
  std::uint32_t server_version = 0;  // as server_version_num: 150018
  std::uint32_t wal_segment_bytes = 0;
  std::string slot;  // the physical replication slot that holds the source's WAL for us
  bool data_checksums = false;
  Timestamp added;

  [[nodiscard]] std::uint32_t server_major() const { return server_version / 10000; }
};

// Durable when it returns. Error: already_exists.
Result<void> put_cluster_record(const ClusterSpace& space, const ClusterRecord& record);
// Another record in the place of the one that is there, of which members that this version does not know stay.
// A crash leaves one of the two, whole. Durable when it returns. Errors: busy (somebody else replaces it);
// not_found; damaged; newer_format.
Result<void> replace_cluster_record(const ClusterSpace& space, const ClusterRecord& record);
// Errors: not_found (`add` did not finish), damaged, newer_format.
Result<ClusterRecord> get_cluster_record(const ClusterSpace& space);

}  // namespace pgstrata
