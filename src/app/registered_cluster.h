// A cluster that `add` registered, and who may work on it.
#pragma once

#include <optional>

#include "capture/wal_receiver.h"

namespace pgstrata {

// The leases of a cluster (repo/lease.h). A stream and a backup may run side by side, two of one kind may
// not.
inline constexpr const char* stream_lease_name = "stream";
inline constexpr const char* backup_lease_name = "backup";
// Of whoever removes what nothing needs, or nobody can read.
inline constexpr const char* prune_lease_name = "prune";

// Borrows the repository, which must outlive it.
struct RegisteredCluster {
  ClusterSpace space;
  ClusterRecord record;
};

// What every work on a cluster's source needs. References are borrowed.
struct SourceWork {
  RegisteredCluster cluster;
  ConnectionUrl url;
  SourceStanding standing;
  const Clock& clock;
  const Cancellation& cancellation;
};

// Errors: not_found (no such cluster: the hint lists those there are; or `add` did not finish), damaged.
[[nodiscard]] Result<RegisteredCluster> open_registered_cluster(const Repository& repository,
                                                                std::string_view name);

// Says so in the log where the store cannot keep two machines from doing the same work at the same time.
void warn_where_one_must_write(const ObjectStore& store);

// The way to the source: `url` where one was given, else the registered one; passwords come from libpq's own
// places. Error: usage.
[[nodiscard]] Result<ConnectionUrl> source_url(const ClusterRecord& record,
                                               const std::optional<std::string>& url);

}  // namespace pgstrata
