// A cluster's timelines: their histories, and which of them the cluster is on.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "pg/format/timeline_history.h"
#include "repo/repository.h"

namespace pgstrata {

// The record `timelines/00000002`: the history file as the server sent it, which must parse.
// Durable when it returns; storing the same one again is no error. One that is damaged makes room, with a
// word in the log. Errors: already_exists, when another history of that timeline is stored; those of the
// store.
Result<void> put_timeline_history(const ClusterSpace& space, TimelineId timeline, ByteView content);
// Nothing for timeline 1 and for those not stored. Errors: damaged, also when it does not parse.
Result<std::optional<Bytes>> get_timeline_history(const ClusterSpace& space, TimelineId timeline);
// Parsed; without ancestors where none is stored. Errors: damaged.
Result<TimelineHistory> stored_history(const ClusterSpace& space, TimelineId timeline);
Result<std::vector<TimelineId>> list_timeline_histories(const ClusterSpace& space);

// A stretch of one timeline within an ancestry: from is included, to is not.
struct TimelineStretch {
  TimelineId timeline;
  Lsn from;
  Lsn to;  // no_end for the newest
};
inline constexpr Lsn no_end{UINT64_MAX};

// The way from the first timeline to `timeline`, oldest first; that one alone when its history is not stored.
// Error: damaged.
Result<std::vector<TimelineStretch>> timeline_ancestry(const ClusterSpace& space, TimelineId timeline);

// The cluster is on its newest timeline, unless that was set aside: the server that made it was none of the
// cluster's, or has been given up for an older one. All that is here of such a timeline can be restored by
// its number. The mark is the record `timelines/00000002.aside`.
//
// The cluster is on `timeline` from now on: the younger ones among `known` are set aside, it and those on its
// way are not. Durable when it returns. Errors: damaged (its history); those of the store.
Result<void> make_timeline_current(const ClusterSpace& space, TimelineId timeline,
                                   const std::set<TimelineId>& known);
// A mark that cannot be read counts as none, with a word in the log. Errors: those of the store.
Result<std::set<TimelineId>> timelines_set_aside(const ClusterSpace& space);
// The timelines whose mark is there and cannot be read. Errors: those of the store.
Result<std::map<TimelineId, Error>> damaged_marks(const ClusterSpace& space);
// Of `timelines` the one that the cluster is on; nothing without any. Errors: those of the store.
Result<std::optional<TimelineId>> current_timeline(const ClusterSpace& space,
                                                   const std::set<TimelineId>& timelines);

}  // namespace pgstrata
