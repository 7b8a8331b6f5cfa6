#include "app/status_problems.h"

#include <algorithm>
#include <span>

namespace pgstrata {
namespace {

// A stream marks the repository about every second, every ten while the source is idle; this long without a
// mark means that nothing comes in.
constexpr std::chrono::seconds stale_after{60};
constexpr std::uint64_t free_space_low_bytes = std::uint64_t{2} << 30;
constexpr std::size_t listed_bad_pages = 3;

void find_snapshot_problems(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  for (const auto& damaged : status.coverage.damaged_snapshots) {
    problems.push_back(
        {.code = "snapshot_damaged",
         .what = fmt::format("snapshot {} cannot be restored: {}", damaged.id, damaged.error.describe()),
         .hint = fmt::format("`pgstrata verify {0}` names everything that is damaged; "
                             "`pgstrata backup {0} --base` makes a new snapshot.",
                             status.name)});
  }
  for (const auto& damaged : status.coverage.damaged_histories) {
    problems.push_back({.code = "history_damaged",
                        .what = fmt::format("the history of timeline {} cannot be read: {}", damaged.timeline,
                                            damaged.error.describe()),
                        .hint = fmt::format("Restart `pgstrata stream {}`: it fetches the history from the "
                                            "source again when it begins. What lies before that timeline "
                                            "can be restored with --timeline.",
                                            status.name)});
  }
  for (const Error& lease : status.damaged_leases) {
    problems.push_back({.code = "lease_damaged", .what = lease.describe(), .hint = lease.hint()});
  }
  if (status.coverage.snapshots.empty() && !status.backup) {
    problems.push_back({.code = "no_snapshot",
                        .what = "there is no snapshot: nothing can be restored",
                        .hint = fmt::format("Run `pgstrata backup {}`.", status.name)});
  }
  if (!status.coverage.snapshots.empty() && status.coverage.snapshots.back().bad_page_count > 0) {
    const SnapshotRecord& last = status.coverage.snapshots.back();
    std::string pages;
    for (std::size_t i = 0; i < std::min(listed_bad_pages, last.bad_pages.size()); ++i) {
      pages +=
          fmt::format("{}{} block {}", i == 0 ? "" : ", ", last.bad_pages[i].path, last.bad_pages[i].block);
    }
    problems.push_back(
        {.code = "bad_pages",
         .what =
             fmt::format("snapshot {} has {} pages with a wrong checksum, as the source has: {}{}", last.id,
                         last.bad_page_count, pages, last.bad_page_count > listed_bad_pages ? ", ..." : ""),
         .hint = "The source's disk or memory damaged them: check both, and restore those tables from "
                 "an older snapshot."});
  }
}

// What is missing before it was let go.
bool begins_by_retention(const ClusterStatus& status, const CoverageRange& range) {
  if (range.snapshots.empty()) return false;
  const auto first =
      std::ranges::find(status.coverage.snapshots, range.snapshots.front(), &SnapshotRecord::id);
  if (first == status.coverage.snapshots.end()) return false;
  const Lsn segment{first->start_lsn.value - first->start_lsn.value % first->wal_segment_bytes};
  return was_let_go(status.horizons, first->timeline, segment);
}

void find_gaps(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  // The ranges on the way to the current timeline come first; some end on its ancestors.
  const auto& ranges = status.coverage.ranges;
  std::size_t on_the_way = ranges.size();
  while (on_the_way > 0 && ranges[on_the_way - 1].timeline != status.coverage.current_timeline) --on_the_way;
  const CoverageRange* before = nullptr;
  // Of what lies between the two, on a timeline that was left.
  const auto kept_elsewhere = [&](const CoverageRange& left, const CoverageRange& right) {
    const auto elsewhere = std::span(ranges).subspan(on_the_way);
    const auto kept = std::ranges::find_if(elsewhere, [&](const CoverageRange& other) {
      return other.from_lsn < right.from_lsn && other.to_lsn > left.to_lsn;
    });
    if (kept == elsewhere.end()) return std::string();
    return fmt::format(" Timeline {0}, which was left, has some of it: `--timeline {0}`.", kept->timeline);
  };
  for (const CoverageRange& range : std::span(ranges).first(on_the_way)) {
    if (before != nullptr && !begins_by_retention(status, range)) {
      problems.push_back(
          {.code = "coverage_gap",
           .what = fmt::format("nothing between {} ({}) and {} ({}) can be restored", before->to_time,
                               before->to_lsn, range.from_time, range.from_lsn),
           .hint = "WAL was lost there; it cannot be brought back. What lies on both sides is safe." +
                   kept_elsewhere(*before, range)});
    }
    before = &range;
  }
  if (!status.coverage.snapshots.empty() && newest_range(status.coverage) == nullptr) {
    problems.push_back({.code = "coverage_ended",
                        .what = "the newest WAL cannot be restored: it follows no snapshot without a gap",
                        .hint = fmt::format("Run `pgstrata backup {} --base`.", status.name)});
  }
}

void find_damaged_wal(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  for (const auto& wal : status.coverage.damaged_wal) {
    problems.push_back(
        {.code = "wal_damaged",
         .what = fmt::format("WAL of timeline {} from {} on cannot be restored: {}", wal.timeline, wal.from,
                             wal.error.describe()),
         .hint =
             fmt::format("`pgstrata verify {0}` says what that costs; `pgstrata backup {0} --base` makes a "
                         "new beginning.",
                         status.name)});
  }
}

void find_source_left_behind(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  const auto ours = status.coverage.current_timeline;
  if (!status.source.reachable || !ours || status.source.timeline >= *ours) return;
  problems.push_back(
      {.code = "source_on_other_timeline",
       .what = fmt::format("the source is on timeline {}, which {} has left for timeline {}: its commits are "
                           "not protected",
                           status.source.timeline, status.name, *ours),
       .hint =
           fmt::format("Is it the old primary after a failover? Say where the new one is: `pgstrata add {0} "
                       "--url ...`. Only if it is the primary after all, say so once: `pgstrata stream {0} "
                       "--new-primary`.",
                       status.name)});
}

// A stream follows the source there; one that receives from another server never will.
void find_source_ahead(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  const auto ours = status.coverage.current_timeline;
  if (!status.source.reachable || !status.stream || !ours || status.source.timeline <= *ours) return;
  problems.push_back(
      {.code = "source_on_newer_timeline",
       .what = fmt::format(
           "the source is on timeline {}, of which nothing is kept yet: its commits are not protected",
           status.source.timeline),
       .hint = fmt::format(
           "A stream follows a promotion within seconds. If this stays, the one that runs receives "
           "from another server: restart it (`systemctl restart pgstrata-stream@{}`).",
           status.name)});
}

// Nothing of the repository is wrong by that, and a stream elsewhere may have its own way to the source.
void find_source_unreachable(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  const SourceView& source = status.source;
  if (!source.asked || source.reachable || source.other_cluster) return;
  problems.push_back(
      {.code = "source_unreachable",
       .what = fmt::format("the source cannot be asked from here: {}", source.why_not),
       .hint =
           "A backup or stream that begins here would fail in the same way: see that the server runs and "
           "takes the connection (address, pg_hba.conf, password in ~/.pgpass). What can be restored does "
           "not depend on it; where this machine need not reach the source, --offline does not ask."});
}

void find_source_problems(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  find_source_left_behind(status, problems);
  find_source_ahead(status, problems);
  find_source_unreachable(status, problems);
  if (!status.source.other_cluster) return;
  problems.push_back({.code = "source_is_another_cluster",
                      .what = status.source.why_not,
                      .hint = fmt::format("Was it made anew with initdb, or upgraded? Nothing of it is "
                                          "protected: add it under a name of its own with `pgstrata add`. "
                                          "If {0} is elsewhere now, say where: `pgstrata add {0} --url ...`.",
                                          status.name)});
}

void find_stream_problems(const ClusterStatus& status, std::vector<StatusProblem>& problems) {
  if (!status.stream && (!status.lag_time || *status.lag_time > stale_after)) {
    problems.push_back({.code = "stream_not_running",
                        .what = "no stream runs: new commits are not protected",
                        .hint = fmt::format("Run `pgstrata stream {0}`, or `systemctl enable --now "
                                            "pgstrata-stream@{0}`.",
                                            status.name)});
  } else if (status.stream && status.lag_time && *status.lag_time > stale_after) {
    problems.push_back(
        {.code = "stream_behind",
         .what = fmt::format("the stream of process {} on host {} has brought nothing for {} s",
                             status.stream->process.pid, status.stream->process.host_name,
                             std::chrono::duration_cast<std::chrono::seconds>(*status.lag_time).count()),
         .hint =
             fmt::format("Its messages (`journalctl -u pgstrata-stream@{}`) say why about every 30 s: the "
                         "source may be down, or the repository full.",
                         status.name)});
  }
  if (!status.source.slot_known) return;
  if (!status.source.slot_present) {
    problems.push_back(
        {.code = "slot_missing",
         .what = fmt::format("the source has no replication slot \"{}\"", status.record.slot),
         .hint = fmt::format("`pgstrata stream {}` makes it anew, and a base backup where WAL was lost.",
                             status.name)});
  } else if (!status.source.slot_restart_lsn.valid()) {
    problems.push_back(
        {.code = "slot_invalid",
         .what = fmt::format("the source has given up the replication slot \"{}\"", status.record.slot),
         .hint = fmt::format("`pgstrata stream {}` makes it anew, and a base backup where WAL was lost; "
                             "raise max_slot_wal_keep_size on the source.",
                             status.name)});
  }
}

}  // namespace

std::vector<StatusProblem> find_problems(const ClusterStatus& status) {
  std::vector<StatusProblem> problems;
  find_snapshot_problems(status, problems);
  find_gaps(status, problems);
  find_damaged_wal(status, problems);
  find_source_problems(status, problems);
  find_stream_problems(status, problems);
  return problems;
}

void add_repository_problems(RepositoryStatus& status) {
  if (status.free_bytes && *status.free_bytes < free_space_low_bytes) {
    status.problems.push_back(
        {.code = "repository_nearly_full",
         .what = fmt::format("the repository's disk has {} MiB left", *status.free_bytes >> 20),
         .hint = "Make room: when it is full, WAL stays on the source and fills its disk next."});
  }
}

}  // namespace pgstrata
