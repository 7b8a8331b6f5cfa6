// A server's timeline against the one that the cluster is on: what is refused, and in which words.
#pragma once

#include <optional>
#include <string_view>

#include "base/types.h"
#include "repo/repository.h"

namespace pgstrata {

// The cluster has left the server's timeline for `ours`: after a failover it is the old primary.
[[nodiscard]] Error timeline_left(ErrorCode code, std::string_view cluster, TimelineId server,
                                  TimelineId ours);
// The server is on another timeline than the cluster, and may be a copy.
[[nodiscard]] Error timeline_unproven(std::string_view cluster, TimelineId server, TimelineId ours);

// The timeline that the cluster is on in the repository; nothing while that holds no WAL of it.
// Errors: failed (timeline_left); those of the store.
[[nodiscard]] Result<std::optional<TimelineId>> check_timeline_not_left(const ClusterSpace& space,
                                                                        std::uint32_t wal_segment_bytes,
                                                                        TimelineId server);

}  // namespace pgstrata
