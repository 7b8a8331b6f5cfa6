#include "capture/source_timeline.h"

#include <algorithm>

#include "catalog/coverage.h"
#include "catalog/timelines.h"

namespace pgstrata {

Error timeline_left(ErrorCode code, std::string_view cluster, TimelineId server, TimelineId ours) {
  return make_error(code, "the server is on timeline {}, which {} has left for timeline {}", server, cluster,
                    ours)
      .with_hint(
          fmt::format("This looks like the old primary after a failover: say where the new one is with "
                      "`pgstrata add {0} --url ...`. Only if this one is the primary after all, say so once: "
                      "`pgstrata stream {0} --url ... --new-primary`.",
                      cluster));
}

Error timeline_unproven(std::string_view cluster, TimelineId server, TimelineId ours) {
  return make_error(ErrorCode::failed, "the server is on timeline {}, and {} is on timeline {}", server,
                    cluster, ours)
      .with_hint(
          "If it is a copy, add it under a name of its own with `pgstrata add`. If it has taken the "
          "primary's place, say so once with --new-primary.");
}

Result<std::optional<TimelineId>> check_timeline_not_left(const ClusterSpace& space,
                                                          std::uint32_t wal_segment_bytes,
                                                          TimelineId server) {
  PGS_TRY(const auto inventory, WalInventory::load(space, wal_segment_bytes));
  PGS_TRY(const auto ours, current_timeline_with_wal(space, inventory));
  if (!ours || *ours == server) return ours;
  const auto way = timeline_ancestry(space, *ours);
  if (!way) {
    // A stream fetches a damaged history anew.
    if (way.error().code() == ErrorCode::damaged) return ours;
    return std::unexpected(way.error());
  }
  if (std::ranges::find(*way, server, &TimelineStretch::timeline) == way->end()) return ours;
  return std::unexpected(timeline_left(ErrorCode::failed, space.name(), server, *ours));
}

}  // namespace pgstrata
