#include "app/copy_repository.h"

#include <algorithm>

#include "app/init_repository.h"
#include "app/registered_cluster.h"

namespace pgstrata {
namespace {

Result<Repository> make_copy(const CopyRequest& request, const Clock& clock, CopyOutcome& outcome) {
  if (request.to.key.empty()) {
    return std::unexpected(
        make_error(ErrorCode::usage, "there is no repository at {} yet, and no key to make one with",
                   request.to.location)
            .with_hint("Give --to-key-file F (made when it does not exist), --to-passphrase-env V or "
                       "--to-no-encryption."));
  }
  PGS_TRY(const InitOutcome made,
          init_repository({.location = request.to.location, .key = request.to.key}, clock));
  outcome.made = true;
  if (made.key_file_generated) outcome.key_file = made.key_file;
  return open_repository(request.to);
}

Result<Repository> open_copy(const CopyRequest& request, const Clock& clock, CopyOutcome& outcome) {
  auto opened = open_repository(request.to);
  if (opened || opened.error().code() != ErrorCode::not_found) return opened;
  return make_copy(request, clock, outcome);
}

Result<CopyReport> copy_one(const Repository& from, Repository& to, const std::string& name,
                            const CopyRequest& request, const Clock& clock,
                            const Cancellation& cancellation) {
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(from, name));
  PGS_TRY(const ClusterSpace space, to.adopt_cluster(name, cluster.space.key()));
  PGS_TRY(const Lease lease,
          acquire_to_write(space, copy_lease_name, "copy", clock, {.cancellation = &cancellation}));
  CopyOptions options;
  options.still_allowed = [&lease] { return lease.check(); };
  if (request.on_progress) {
    options.on_progress = [&](const CopyProgress& progress) { request.on_progress(name, progress); };
  }
  return copy_cluster(cluster.space, space, cluster.record.wal_segment_bytes, options, cancellation);
}

}  // namespace

bool CopyOutcome::whole() const {
  return std::ranges::all_of(clusters,
                             [](const CopiedCluster& cluster) { return cluster.report.left_out.empty(); });
}

Result<CopyOutcome> copy_repository(const Repository& from, const CopyRequest& request, const Clock& clock,
                                    const Cancellation& cancellation) {
  CopyOutcome outcome;
  std::vector<std::string> names = request.clusters;
  // What cannot be copied makes no repository.
  for (const std::string& name : names) PGS_CHECK(open_registered_cluster(from, name));
  if (names.empty()) {
    PGS_TRY(names, from.clusters());
  }
  PGS_TRY(Repository to, open_copy(request, clock, outcome));
  outcome.to = to.store().describe();
  if (to.id() == from.id()) {
    return std::unexpected(
        make_error(ErrorCode::usage, "{} is the repository that is to be copied", outcome.to)
            .with_hint("Name another place with --to."));
  }
  for (const std::string& name : names) {
    PGS_TRY(CopyReport report, copy_one(from, to, name, request, clock, cancellation));
    outcome.clusters.push_back({name, std::move(report)});
  }
  return outcome;
}

}  // namespace pgstrata
