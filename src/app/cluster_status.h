// `status`: what can be restored, how far behind the repository is, and what needs doing.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/registered_cluster.h"
#include "base/cancellation.h"
#include "catalog/coverage.h"
#include "catalog/replay_debt.h"
#include "catalog/retention_horizon.h"

namespace pgstrata {

struct StatusProblem {
  std::string code;  // stable: "no_snapshot", "stream_not_running", ...
  std::string what;
  std::string hint;  // what to do
};

// What the source says, when it answers within two seconds.
struct SourceView {
  bool asked = false;          // a connection was tried
  bool reachable = false;      // and the cluster that was added
  bool other_cluster = false;  // it answers, but its system identifier is another
  std::string why_not;         // when it was asked and is not reachable
  Lsn flush_position;
  TimelineId timeline;
  bool slot_known = false;  // servers before 15 do not tell about slots
  bool slot_present = false;
  Lsn slot_restart_lsn;  // not valid: the slot keeps nothing
};

struct StoredSize {
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
};

struct ClusterStatus {
  std::string name;
  ClusterRecord record;
  Coverage coverage;
  WalHorizons horizons;  // behind which WAL that is missing was lost, not let go by retention
  std::optional<LeaseHolder> stream;
  std::optional<LeaseHolder> backup;
  std::vector<Error> damaged_leases;  // who holds those is not known
  SourceView source;
  std::optional<std::uint64_t> lag_bytes;             // unknown without the source
  std::optional<std::chrono::microseconds> lag_time;  // since the last moment known to be complete
  ReplayDebts replay_debts;
  std::map<std::string, StoredSize> stored;  // by kind: "packs", "wal", ...
  StoredSize stored_total;
  std::vector<StatusProblem> problems;
};

struct StatusRequest {
  bool ask_source = true;
};

// Everything but the source's view is computed from the repository alone. A source that does not answer is no
// error. Errors: not_found, damaged, cancelled, those of the store.
[[nodiscard]] Result<ClusterStatus> cluster_status(const Repository& repository, const std::string& cluster,
                                                   const StatusRequest& request, const Clock& clock,
                                                   const Cancellation& cancellation);

struct RepositoryStatus {
  std::string location;
  bool encrypted = true;
  std::optional<std::uint64_t> free_bytes;  // on the disk of a repository in a folder
  std::vector<ClusterStatus> clusters;
  std::vector<StatusProblem> problems;  // of the repository itself
};

// Of the named cluster, or of all. Errors: as above.
[[nodiscard]] Result<RepositoryStatus> repository_status(const Repository& repository,
                                                         const std::optional<std::string>& cluster,
                                                         const StatusRequest& request, const Clock& clock,
                                                         const Cancellation& cancellation);

}  // namespace pgstrata
