#include "app/reading_hold.h"

#include "app/repository_access.h"
#include "base/log.h"
#include "sys/process_identity.h"

namespace pgstrata {
namespace {

std::string this_host() {
  const auto self = ProcessIdentity::self();
  return self ? self->host_name : "an unknown host";
}

}  // namespace

WalSegmentIds segments_of(const RecoveryPlan& plan) {
  WalSegmentIds segments;
  for (const auto& segment : plan.segments) segments.emplace(segment.timeline, segment.start);
  return segments;
}

Result<std::string> hold_plan(const ClusterSpace& space, const RecoveryPlan& plan, HoldKind kind,
                              std::string reason, Timestamp until) {
  const Hold hold{.kind = kind,
                  .snapshot = plan.snapshot.id,
                  .timeline = plan.timeline,
                  .from_lsn = plan.snapshot.start_lsn,
                  .to_lsn = plan.end_lsn,
                  .reason = std::move(reason),
                  .until = until};
  auto held = hold_for_reading(space, hold, segments_of(plan), plan.wal_segment_bytes, system_clock());
  if (held || held.error().code() == ErrorCode::not_found || held.error().code() == ErrorCode::cancelled)
    return held;
  log_warning(
      "no hold on what is read could be left in the repository, so a prune may take it away meanwhile: {}",
      held.error().describe());
  return std::string();
}

std::string branch_hold_reason(std::string_view branch) {
  return fmt::format("branch {} on {}", branch, this_host());
}

std::string restore_hold_reason(const std::filesystem::path& directory) {
  return fmt::format("restore to {} on {}", directory.native(), this_host());
}

void release_hold(ObjectStore& store, std::string_view cluster, std::string_view id) {
  if (id.empty()) return;
  const auto removed = remove_hold(store, cluster, id);
  if (removed) return;
  log_warning(
      "hold {0} of {1} stays behind, and what it keeps: {2}. `pgstrata hold remove {1} {0}` removes it", id,
      cluster, removed.error().describe());
}

void release_hold(const std::string& repository_location, std::string_view cluster, std::string_view id) {
  if (id.empty()) return;
  const auto store = open_store(repository_location);
  if (store) return release_hold(**store, cluster, id);
  log_warning(
      "hold {0} of {1} stays behind, and what it keeps: {2}. `pgstrata hold remove {1} {0}` removes it", id,
      cluster, store.error().describe());
}

}  // namespace pgstrata
